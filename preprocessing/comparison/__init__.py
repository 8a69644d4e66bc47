"""Compares example sets with those before them.

example_sets.py  what is known of a set: manifest, counts, distributions
distances.py     how far two distributions are apart
compare.py       every difference of two sets, and whether it is beyond a limit
text.py, page.py the report
"""
