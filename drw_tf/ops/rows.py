"""What logits say of each row, a block of rows at a time: float64 copies stay small."""

from collections.abc import Iterator

import numpy as np

# Values of float64 at once, 32 MB each.
_BLOCK = 1 << 22


class NotFinite(ValueError):
    """Logits hold a nan or an infinity."""


def blocks(logits: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The place of each block of rows, and the block in float64, to be read alone.

    Args:
        logits: float [N, C].
    """
    rows = max(1, _BLOCK // logits.shape[1])
    for start in range(0, len(logits), rows):
        part = slice(start, start + rows)
        yield part, np.asarray(logits[part], np.float64)


def judge(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted class, cross-entropy and largest probability of each row.

    Args:
        logits: float [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        int64 [N]; float64 [N], nats, finite for finite logits; float64 [N] in [0, 1].

    Raises:
        NotFinite: logits that are not finite.
    """
    count = len(logits)
    predictions = np.zeros(count, np.int64)
    losses, confidence = np.zeros(count), np.zeros(count)
    broken = 0
    for part, block in blocks(logits):
        bad = ~np.isfinite(block).all(axis=1)
        broken += int(bad.sum())
        block = np.where(bad[:, None], 0.0, block)
        predictions[part] = block.argmax(axis=1)
        shifted = block - block.max(axis=1, keepdims=True)
        total = np.exp(shifted).sum(axis=1)
        of_label = shifted[np.arange(len(block)), labels[part]]
        losses[part] = np.log(total) - of_label
        confidence[part] = 1.0 / total
    if broken:
        raise NotFinite(f"logits must be finite, got nan or inf in {broken} of {count} rows.")
    return predictions, losses, confidence
