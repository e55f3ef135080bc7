"""Benchmarks: ``python -m benchmarks.signaling``, ``.startup``, each with ``--json`` and ``--quick``.

Everything runs on 127.0.0.1, is bounded in count and time, and ends every process that it starts.
"""
