"""WebRTC peer connections: one data channel between two peers of a room."""
