"""What several tests stand on; no tests."""
