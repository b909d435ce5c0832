"""Where training runs."""

import tensorflow as tf

from drw_tf.data import pipeline


def strategy(name: str) -> tf.distribute.Strategy:
    """The distribution strategy of `--strategy`.

    `mirrored` takes all GPUs of this machine, or its CPU where there is none;
    `one_device` the first GPU or the CPU.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus] or ["CPU:0"])


def set_determinism() -> None:
    """Makes every operation bit-for-bit repeatable on this machine."""
    tf.config.experimental.enable_op_determinism()


def distribute(chosen: tf.distribute.Strategy, make_batches) -> tf.distribute.DistributedDataset:
    """One element a replica and step from `make_batches(shard)`.

    Each replica takes the next element, so the streams are cut by the pipeline and never
    by automatic re-batching, which would mix up their two batch sizes.
    """

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = make_batches(
            pipeline.Shard(
                context.input_pipeline_id,
                context.num_input_pipelines,
                context.num_replicas_in_sync // context.num_input_pipelines,
            )
        )
        # Otherwise several workers would ask each other in every step who has come to an end.
        return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return chosen.distribute_datasets_from_function(make)
