"""Pure functions on tensors: the equations."""
