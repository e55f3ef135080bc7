"""What this person's clients know of their jobs, on disk."""
