"""What every layer stands on: nurseries, exception groups, private files, printable text, logs."""
