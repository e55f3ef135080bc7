"""The machine that a worker runs on: its GPU, who uses it, and what is wrong with it."""
