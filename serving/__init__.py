"""From a checkpoint to a published SavedModel, and from requests to predictions.

The export files read the trainer's inference model; everything else needs only the
exported folder and TensorFlow.
"""
