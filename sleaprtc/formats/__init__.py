"""Readers of untrusted files. They translate whatever a library raises for a broken file."""
