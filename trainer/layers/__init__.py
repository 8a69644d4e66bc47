"""Layers: embedding tables, numeric inputs, attention, and what joins them."""
