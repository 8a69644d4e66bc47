"""Optimizers: sparse ones for embedding tables, Keras ones for all other weights."""
