"""Settings: what there is to set, the files and variables that set it, and what is wrong with them."""
