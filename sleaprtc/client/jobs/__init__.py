"""Jobs from the order to the result: asking, submitting, following, waiting, attaching."""
