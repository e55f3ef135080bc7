"""A worker's jobs: the roster, each job's course, its files and its messages."""
