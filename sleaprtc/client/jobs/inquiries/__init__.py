"""Asks a worker about a job, without taking the job over."""
