"""What the server keeps over a restart."""
