"""What every layer builds on: nurseries, exception groups, private files, printable text, logs."""
