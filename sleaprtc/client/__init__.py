"""The client: finds workers, has one of them train, and brings the model home."""
