"""``sleap-rtc join``: keeps a room for later commands."""
