"""What goes to a worker: datasets, configurations and models, read and packed."""
