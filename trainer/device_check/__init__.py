"""Compares one device with all devices of the machine at hand."""
