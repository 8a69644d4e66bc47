"""What lies between backbone and heads: from one hidden vector to one for each task."""
