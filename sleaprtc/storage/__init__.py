"""Stores what the server keeps across a restart."""
