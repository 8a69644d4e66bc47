"""Metrics over whole data sets: mergeable sums in float64, one formula at the end."""
