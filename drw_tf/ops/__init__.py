"""Functions on tensors, without state: the equations, and which rows are whose."""
