"""What comes home: models, predictions and reports, put in their place."""
