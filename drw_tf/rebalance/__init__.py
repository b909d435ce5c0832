"""Countermeasures against class imbalance, one a file, and the state of steps that they share."""
