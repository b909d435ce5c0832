"""Where training runs."""

import functools

import tensorflow as tf

from drw_tf.data import pipeline


# One a process: objects of two strategies cannot be mixed, and a second mirrored one on the
# same devices broke sums over replicas.
@functools.cache
def strategy(name: str) -> tf.distribute.Strategy:
    """The distribution strategy of `--strategy`.

    `mirrored` takes all GPUs of this machine, or its CPU where there is none;
    `one_device` the first GPU or the CPU.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        # TensorFlow's default, which is none. One that names the CPU would feed it through an
        # iterator for devices, whose tuning thread sleeps on for up to a minute when it ends.
        return tf.distribute.get_strategy()
    # Of one replica, too: mirrored variables cost a step a millisecond, and XLA cannot compile
    # their updates.
    if name == "one_device" or len(gpus) < 2:
        return tf.distribute.OneDeviceStrategy("GPU:0")
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])


def compiles(choice: str, chosen: tf.distribute.Strategy, compilable: bool = True) -> bool:
    """Whether XLA compiles the step, after `--jit_compile`.

    Args:
        choice: "auto", "on" or "off".
        chosen: where training runs.
        compilable: whether XLA has all operations of the step.

    Raises:
        ValueError: "on" with several replicas, or with a step that XLA cannot compile.
    """
    if choice == "on" and not compilable:
        raise ValueError(
            "--jit_compile must be auto or off for methods with mixup, got on: XLA has no "
            "random numbers of a Gamma distribution."
        )
    replicas = chosen.num_replicas_in_sync
    if choice == "on" and replicas > 1:
        raise ValueError(
            "--jit_compile=on must have one replica, as the sums over replicas are inside of "
            f"the step; there are {replicas}. auto and off work."
        )
    if choice != "auto":
        return choice == "on"
    return compilable and replicas == 1 and bool(tf.config.list_logical_devices("GPU"))


def set_determinism() -> None:
    """Makes every operation bit-for-bit repeatable on this machine."""
    tf.config.experimental.enable_op_determinism()


def forbid_tensor_float_32() -> None:
    """Makes GPUs multiply float32 numbers as such, which from Ampere on is not the default.

    TensorFloat-32 has a fraction of 10 bits like float16, in which finite differences vanish.
    Not run on a GPU here.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)


Batches = tf.data.Dataset | tf.distribute.DistributedDataset


def distribute(chosen: tf.distribute.Strategy, make_batches) -> Batches:
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
