"""``sleap-rtc completion``: what shells need to complete our commands."""
