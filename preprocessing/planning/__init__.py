"""Writes the first job file for logs that nobody has described yet.

sources.py    which logs the given paths hold
sample.py     a bounded number of records of each
columns.py    what is in a column
wording.py    what names of columns and logs tell
identifiers.py  which columns are ids, and which is the time
outcomes.py   which columns, or other logs, are labels
delays.py     how long labels take, and what a window loses
leaks.py      columns that could not be known at the impression
proposals.py  kinds, groups and embeddings of the features
sizes.py      keep rate, batch size, window, split
job_text.py   the job file, with comments
page.py       the HTML page, with plots (plots.py)
draft.py      all of this in order
"""
