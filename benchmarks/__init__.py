"""Benchmarks: ``python -m benchmarks.NAME``, for ``signaling``, ``startup``, ``transfer`` and ``soak``.

Each has ``--json``, and all but ``soak`` have ``--quick``. Everything runs on 127.0.0.1, is limited in count
and time, and ends every process that it starts.
"""
