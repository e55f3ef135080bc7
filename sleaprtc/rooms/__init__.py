"""Rooms, peers and discovery as pure decisions.

Nothing here does I/O, reads a clock, makes random numbers or imports Trio. Times and secrets are arguments,
and what to do on the wire is returned as effects.
"""
