"""What is refused before anything is exported, and what is compared after it."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.data import naming
from drw_tf.models import network as model_network
from drw_tf.serving import decoding, folders

# Largest difference between the exported logits and the network's; the second one where the
# network computes in 16 bits, which the export does not.
TOLERANCE, TOLERANCE_16_BITS = 1e-5, 5e-2


def offset_of(logit_adjustment: np.ndarray | None, num_classes: int) -> np.ndarray:
    """float32 [C], what is subtracted from the logits.

    Raises:
        ValueError: it is not C finite numbers.
    """
    if logit_adjustment is None:
        return np.zeros(num_classes, np.float32)
    offset = np.asarray(logit_adjustment, np.float32)
    if offset.shape != (num_classes,) or not np.isfinite(offset).all():
        raise ValueError(
            f"logit_adjustment must be {num_classes} finite numbers, got {logit_adjustment}."
        )
    return offset


def refuse_names(class_names: Sequence[str]) -> None:
    """Raises ValueError if a class name cannot be a line of a file."""
    for name in class_names:
        if not naming.is_one_line(name):
            raise ValueError(f"class names must be one line each, got {name!r}.")


def refuse_network(
    network: keras.Model, head: str, preparation: decoding.Preparation, num_classes: int
) -> None:
    """Raises ValueError if the network is for other pictures, classes, or not Keras' alone."""
    sizes = tuple(network.input_shape[1:])
    if sizes != preparation.image_shape:
        raise ValueError(
            f"image_shape must be the network's {sizes}, got {preparation.image_shape}."
        )
    if head not in network.output_shape:
        raise ValueError(f"head must be one of {sorted(network.output_shape)}, got {head!r}.")
    found = network.output_shape[head][1]
    if found != num_classes:
        raise ValueError(f"class_names must be {found}, one a logit, got {num_classes}.")
    for layer in network.submodules:
        if not isinstance(layer, keras.layers.Layer):
            continue
        is_own = type(layer).__module__.split(".")[0] in ("keras", "tf_keras")
        if not is_own or isinstance(layer, keras.layers.Lambda):
            raise ValueError(
                f"layer {layer.name!r} must be one of Keras' own and no Lambda, so that it "
                f"loads everywhere, got {type(layer).__name__}."
            )


def _not_found_by_name(network: keras.Model) -> dict[str, type]:
    """Layers that Keras 2.15 saves but does not find again: ConvNeXt's LayerScale."""
    layers = (type(one) for one in network.submodules if isinstance(one, keras.layers.Layer))
    return {one.__name__: one for one in layers if ".applications." in one.__module__}


def compare_logits(
    network: keras.Model,
    head: str,
    folder: pathlib.Path,
    preparation: decoding.Preparation,
    change: tuple[np.ndarray, float],
) -> None:
    """Raises ExportError if either form answers otherwise than the network.

    The SavedModel's logits are the network's less `change[0]`, over `change[1]`.
    """
    offset, temperature = change
    images = np.random.default_rng(0).integers(0, 256, [4, *preparation.image_shape], np.uint8)
    # GPUs round convolutions to TF32, and each graph may choose another algorithm.
    with tf.device("CPU:0"):
        inputs = model_network.unit_pixels(images)
        expected = network(inputs, training=False)[head].numpy()
        loaded = tf.saved_model.load(str(folder)).signatures["serving_default"]
        by_keras = keras.models.load_model(
            folder / folders.KERAS_FILE, _not_found_by_name(network), compile=False
        )
        served = loaded(images=tf.constant(images))["logits"].numpy()
        found = {
            "saved_model.pb": served * temperature + offset,
            folders.KERAS_FILE: by_keras(inputs, training=False)[head].numpy(),
        }
    is_full = all(layer.compute_dtype == "float32" for layer in network.layers)
    allowed = (TOLERANCE if is_full else TOLERANCE_16_BITS) * max(1.0, np.abs(expected).max())
    for name, logits in found.items():
        difference = np.abs(logits - expected).max()
        if not difference <= allowed:
            raise folders.ExportError(
                f"logits of {name} differ by {difference:.2g} from the network's, "
                f"at most {allowed:.2g} is allowed."
            )
