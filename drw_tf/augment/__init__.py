"""Batched image operations, RandAugment policies, and the views made with them."""
