"""How classifier re-training divides the steps of a run; without TensorFlow, for flags too."""


def head_steps(steps: int, steps_per_epoch: int, fraction: float) -> int:
    """Steps in which the new head is trained alone: whole epochs, at least one, and not all.

    Args:
        steps: of the run, a multiple of `steps_per_epoch`, at least two epochs.
        steps_per_epoch: >= 1.
        fraction: of the run that the head is meant to have, in (0, 1).
    """
    epochs = steps // steps_per_epoch
    return min(max(1, round(fraction * epochs)), epochs - 1) * steps_per_epoch
