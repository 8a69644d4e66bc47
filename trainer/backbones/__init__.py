"""Backbones: from embedded groups to a hidden vector."""
