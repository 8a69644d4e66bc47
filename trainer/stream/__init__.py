"""Learns for ever: test, then train, window by window, each row exactly once."""
