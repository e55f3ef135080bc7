"""Which room is meant and how to get in: invites, joined and made rooms, renewal, addresses."""
