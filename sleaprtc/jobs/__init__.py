"""Pure decisions about jobs: which worker, whether to accept, how long it may take."""
