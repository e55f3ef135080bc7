"""The signaling server: sign-in and rooms over HTTP, discovery and routing over WebSocket."""
