"""Plays logs as if they were just being written."""
