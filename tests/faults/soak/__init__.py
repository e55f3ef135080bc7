"""Runs many jobs while faults are injected at random, from a seed.

``python -m benchmarks.soak`` runs it; docs/soak.md says what its tables mean.

=============  ===============================================================================
`run`          the whole: starts the parts, waits, looks for leftovers
`world`        server, workers and clients as processes, and where they run
`network`      a network of namespaces that can be cut, with root
`disks`        small disks that can be filled, with root
`jobs`         clients that do one job after another, as a user would
`outcomes`     judges an attempt at a job: pure
`faults`       the faults, and how long they last
`recovery`     how long it takes until jobs go on
`measuring`    memory, descriptors and threads of each process
`summary`      the tally, as a table or as JSON: pure
=============  ===============================================================================
"""
