"""Trains models from example sets: batches in, checkpoints and metrics out."""
