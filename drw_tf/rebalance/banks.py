"""Variables with a row for each picture of the pool, however many these are."""

import tensorflow as tf


def read_rows(bank: tf.Variable, index: tf.Tensor) -> tf.Tensor:
    """[N, ...], rows of a variable as this replica has it; arguments as of `write_rows`."""
    return tf.raw_ops.ResourceGather(resource=bank.handle, indices=index, dtype=bank.dtype)


def write_rows(bank: tf.Variable, index: tf.Tensor, rows: tf.Tensor) -> None:
    """Writes rows of a variable in place, so that the cost does not grow with the variable.

    Args:
        bank: [P, ...], a copy of its own on every replica; called in replica context. Not of
            int32, which TensorFlow keeps on the CPU beside a GPU.
        index: int64 [N].
        rows: [N, ...], of the same type.
    """
    # Variables that are summed or taken from one replica when read have no method for it.
    tf.raw_ops.ResourceScatterNdUpdate(ref=bank.handle, indices=index[:, None], updates=rows)
