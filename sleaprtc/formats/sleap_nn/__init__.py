"""sleap-nn's training configurations, as they come from others: which keys there are, and who sets them."""
