"""How a batch becomes a loss, and the one training step."""
