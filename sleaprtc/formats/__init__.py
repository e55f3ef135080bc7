"""Readers of files that others wrote: whatever a library raises over a broken one is translated here."""
