"""Runs the whole workflow on one machine: a recording, a server, two workers, a client, an evaluation."""
