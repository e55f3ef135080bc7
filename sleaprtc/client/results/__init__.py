"""A job's results: checks models, predictions and reports, and puts them in their place."""
