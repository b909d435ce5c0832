"""Dynamic re-weighting for long-tailed semi-supervised learning, in TensorFlow."""

__version__ = "0.1.0"
