"""Follows one job on one worker, from the assignment to its result."""
