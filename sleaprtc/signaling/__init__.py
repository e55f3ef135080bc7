"""A peer's side of the signaling server: sign-in and rooms over HTTP, messages over a WebSocket."""
