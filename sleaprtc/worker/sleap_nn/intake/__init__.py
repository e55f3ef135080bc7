"""Files of a stranger, read and judged before anything is done with them."""
