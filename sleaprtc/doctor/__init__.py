"""Finds what is wrong, if anything: checks of this machine, the server and the path to a worker."""
