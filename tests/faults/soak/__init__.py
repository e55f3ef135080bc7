"""Many jobs while everything around them fails, by a seeded random choice.

``python -m benchmarks.soak`` runs it; docs/soak.md says what its tables mean.

=============  ===============================================================================
`run`          the whole: starts the parts, waits, looks for remains
`world`        server, workers and clients as processes, and where they run
`network`      a network of namespaces that can be cut, with root
`disks`        small disks that can be filled, with root
`jobs`         clients that do one job after the other, as a person would
`outcomes`     what came of an attempt: pure
`faults`       what is broken, and for how long
`recovery`     how long it takes until jobs go on
`measuring`    memory, descriptors and threads of each process
`summary`      the tally, as a table or as JSON: pure
=============  ===============================================================================
"""
