"""Data sets, splits, and the streams of batches made from them."""
