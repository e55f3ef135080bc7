"""Files over a data channel: disk to disk, acknowledged, verified, resumable."""
