"""Serves an exported model over REST, in the form of TensorFlow Serving.

Imports neither the trainer nor preprocessing: an exported folder is all it needs.
"""
