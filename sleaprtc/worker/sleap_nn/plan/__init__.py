"""What is trained or predicted, decided from labels, configurations and the request."""
