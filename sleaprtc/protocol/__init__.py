"""The wire's vocabulary: frozen message types, their limits, and the codec.

Nothing here does I/O, reads a clock or imports Trio.
"""
