"""Auxiliary tasks: layers of the training model only, each giving a loss."""
