"""Settings: the schema, the files and variables that set them, and the checks of those files."""
