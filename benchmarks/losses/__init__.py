"""Time and memory of the losses over the batch; `python -m benchmarks.losses`."""
