"""Files from strangers, read and judged before anything is done with them."""
