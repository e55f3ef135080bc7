"""Gives a job to a worker: asks those that fit, waits for a free one, and retries after failures."""
