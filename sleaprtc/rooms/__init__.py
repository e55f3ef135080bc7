"""Rooms, peers and discovery as pure decisions.

Nothing here does I/O, reads a clock, makes random numbers or imports Trio: times and secrets are
arguments, and what is to happen on the wire is returned as effects.
"""
