"""What a job is to do and which worker may have it: the values that a person chose."""
