"""What is wrong here, if anything: checks of this machine, of the server and of the way to a worker."""
