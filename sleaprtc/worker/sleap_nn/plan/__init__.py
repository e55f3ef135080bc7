"""Decides what is trained or predicted, from labels, configurations and the request."""
