"""What a worker knows of its jobs on disk, and what it does with that after a restart."""
