"""Countermeasures against class imbalance, one a file."""
