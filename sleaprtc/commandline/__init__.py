"""What the commands share: options, settings files as defaults, and how a command ends."""
