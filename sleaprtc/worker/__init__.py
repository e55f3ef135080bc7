"""The worker: takes jobs from a room, trains, and sends the model back."""
