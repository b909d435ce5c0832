"""The loop around the step: devices, optimizers, checkpoints."""
