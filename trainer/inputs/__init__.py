"""Where training rows come from: example files, parsed into batches."""
