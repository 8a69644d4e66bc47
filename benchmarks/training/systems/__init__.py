"""One module for each system: `python -m benchmarks.training.systems.NAME ...`.

Each makes the model of `benchmarks.training.shape`, trains it by the system's own
trainer and loader, and leaves the pace to `benchmarks.training.turns`.
"""
