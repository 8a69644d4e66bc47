"""Brings public data sets, and synthetic ones with known truth, to the form of logs."""
