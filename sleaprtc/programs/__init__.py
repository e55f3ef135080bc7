"""The small programs beside server, worker and client: config, join, completion."""
