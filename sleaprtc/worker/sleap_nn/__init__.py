"""What trains: one abstract trainer, and sleap-nn behind it."""
