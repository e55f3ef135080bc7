"""The commands' options and help. What each does is in :mod:`sleaprtc.client.actions`."""
