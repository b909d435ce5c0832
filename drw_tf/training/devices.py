"""Where training runs."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from drw_tf.data import naming, pipeline

_NVIDIA = pathlib.Path("/proc/driver/nvidia")  # there where a GPU's driver is loaded


# One a process: objects of two strategies cannot be mixed, and a second mirrored one on the
# same devices broke sums over replicas.
@functools.cache
def strategy(name: str) -> tf.distribute.Strategy:
    """The distribution strategy of `--strategy`.

    `mirrored` takes all GPUs of this machine, or its CPU where there is none;
    `one_device` the first GPU or the CPU, and hides the other GPUs from TensorFlow, which would
    take memory on each of them.
    """
    if name == "one_device":
        # Not once something has run: then what is taken is taken.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices(tf.config.get_visible_devices("GPU")[:1], "GPU")
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


def compiles(
    choice: str,
    chosen: tf.distribute.Strategy,
    compilable: bool = True,
    deterministic: bool = False,
) -> bool:
    """Whether XLA compiles the step, after `--jit_compile`.

    Args:
        choice: "auto", "on" or "off".
        chosen: where training runs.
        compilable: whether XLA has all operations of the step.
        deterministic: whether the same bits are promised. On a GPU XLA has no such gradient of
            max-pooling, and scatters row by row.

    Raises:
        ValueError: "on" with a strategy that mirrors variables, or with a step that XLA cannot
            compile.
    """
    if choice == "on" and not compilable:
        raise ValueError(
            "--jit_compile must be auto or off for methods with mixup, got on: XLA has no "
            "random numbers of a Gamma distribution."
        )
    replicas = chosen.num_replicas_in_sync
    # Several workers of which one is left mirror, too.
    mirrors = replicas > 1 or isinstance(
        chosen, tf.distribute.MirroredStrategy | tf.distribute.MultiWorkerMirroredStrategy
    )
    if choice == "on" and mirrors:
        raise ValueError(
            "--jit_compile=on must have one replica of a process alone, as the sums over replicas "
            f"are inside of the step; the strategy mirrors its variables on {replicas}. auto and "
            "off work."
        )
    if choice != "auto":
        return choice == "on"
    can = compilable and not deterministic and not mirrors
    return can and bool(tf.config.list_logical_devices("GPU"))


def line(
    chosen: tf.distribute.Strategy,
    workers: int,
    batches: Sequence[int],
    precision: str,
    is_compiled: bool,
) -> str:
    """What trains, on how many pictures, and how it computes.

    Args:
        chosen: where training runs.
        workers: processes that train together, >= 1.
        batches: labeled pictures a step over all replicas, and unlabeled ones where there are any.
        precision: that the network computes in.
        is_compiled: whether XLA compiles the step.
    """
    replicas = chosen.num_replicas_in_sync
    found = naming.counted(replicas, "GPU" if tf.config.list_logical_devices("GPU") else "CPU")
    if workers > 1:
        found += f" of {workers} processes"
    parts = zip(batches, ("labeled", "unlabeled"), strict=False)
    pictures = " + ".join(f"{batch // replicas:,} {name}" for batch, name in parts)
    each = "each " if replicas > 1 else ""
    how = f"{precision}; XLA {'on' if is_compiled else 'off'}"
    return f"devices: {found}, {each}{pictures} pictures a step; {how}"


def doubts(chosen: tf.distribute.Strategy, network: keras.Model, is_interleaved: bool) -> list[str]:
    """A line for each thing about the devices that a user may not have meant.

    Args:
        chosen: where training runs.
        network: that is trained.
        is_interleaved: whether passes are made of rows that each replica interleaves.
    """
    found = []
    # Hidden on purpose by what CUDA reads.
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if _NVIDIA.exists() and not hidden and not tf.config.list_physical_devices("GPU"):
        found.append(
            "training is on the CPU, though this machine has NVIDIA's driver: TensorFlow finds no "
            "GPU. \"python -c 'import tensorflow as tf; tf.config.list_physical_devices()'\" says "
            "why; pip install '.[gpu]' installs the libraries that it needs."
        )
    replicas = chosen.num_replicas_in_sync
    layers = [one for one in network.submodules if isinstance(one, keras.layers.BatchNormalization)]
    if replicas == 1 or not layers:
        return found
    if not all(layer.synchronized for layer in layers):
        also = " with --forward=joint" if is_interleaved else ""
        found.append(
            f"each of the {replicas} replicas takes batch statistics of its own "
            "pictures, so that results depend on the number of replicas, and a checkpoint holds "
            f"the mean of their moving statistics; --sync_batch_norm{also} ends both."
        )
    elif is_interleaved:
        found.append(
            f"each of the {replicas} replicas interleaves mixed pictures of its own, so that "
            "results depend on the number of replicas; --forward=joint ends that."
        )
    return found


def set_determinism() -> None:
    """Makes every operation bit-for-bit repeatable on this machine and as many replicas."""
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
