"""Tests of the demonstration and its parts."""
