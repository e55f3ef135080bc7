"""The process that runs sleap-nn: its start, its environment, its limits, its failures."""
