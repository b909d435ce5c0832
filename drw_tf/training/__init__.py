"""The loop around the step: devices, optimizers, evaluation, checkpoints."""
