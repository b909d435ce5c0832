"""The trained network as a SavedModel with the preprocessing inside, and for Keras.

    <folder>/saved_model.pb, variables/    TensorFlow, TensorFlow Serving
    <folder>/assets/                       class_names.txt, configuration.json, serving.json
    <folder>/assets.extra/                 what TensorFlow Serving warms up with
    <folder>/ema.keras                     keras.models.load_model
    <folder>/MODEL_CARD.md                 what it was trained on, how good it is, its limits

What is served is (logits - logit adjustment) / temperature; `ema.keras` has the bare network.
Both compute in float32, also what was trained in 16 bits: TensorFlow Lite refuses those, and CPUs
are slow at them.

Signatures: `serving_default` takes uint8 pictures, `serving_bytes` encoded ones, `metadata`
nothing. A wrong input is an INVALID_ARGUMENT that names the cause.
"""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tqdm
from tensorflow import keras

from drw_tf.models import heads
from drw_tf.models import network as model_network
from drw_tf.ops import calibration
from drw_tf.serving import decoding, folders, verification, warm_up

CLASS_NAMES, CONFIGURATION, SERVING = "class_names.txt", "configuration.json", folders.MARKER.name


def export_saved_model(
    network: keras.Model,
    folder: str | os.PathLike,
    *,
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    configuration: Mapping,
    head: str = "logits",
    logit_adjustment: np.ndarray | None = None,
    adjustment_metadata: Mapping | None = None,
    temperature: float = 1.0,
    temperature_metadata: Mapping | None = None,
    card: str | None = None,
    central_fraction: float | None = None,
    max_megapixels: float = decoding.Preparation.max_megapixels,
    checks: bool = True,
) -> pathlib.Path:
    """The folder, written beside and renamed when it is complete.

    Args:
        network: functional, float32 [B, H, W, Ch] in [0, 1] to a dict of heads, each
            float32 [B, C]; of Keras' own layers, no Lambda.
        folder: where; an earlier export there is replaced.
        image_shape: (H, W, Ch), Ch is 1 or 3.
        class_names: C names without line ends.
        configuration: flags of the run, JSON-serialisable.
        head: the output that is served.
        logit_adjustment: float [C], subtracted from the logits; None for none.
        adjustment_metadata: where the adjustment comes from, JSON-serialisable.
        temperature: what the adjusted logits are divided by, > 0.
        temperature_metadata: where the temperature comes from, JSON-serialisable.
        card: text of the model card; None for none.
        central_fraction: see `decoding.Preparation`.
        max_megapixels: see `decoding.Preparation`.
        checks: load what was written and compare its logits with the network's.

    Raises:
        ValueError: an argument does not fit the network, or the network has layers that
            other programs could not load.
        folders.ExportError: the folder holds something else, or cannot be written; or the
            exported logits differ from the network's.
    """
    folder = pathlib.Path(folder)
    preparation = decoding.Preparation(tuple(image_shape), central_fraction, max_megapixels)
    offset = verification.offset_of(logit_adjustment, len(class_names))
    plain = heads.with_builtin_layers(network)
    verification.refuse_network(plain, head, preparation, len(class_names))
    verification.refuse_names(class_names)
    calibration.scale_logits(np.zeros([1, 1]), temperature)  # refuses what cannot divide
    adjustment = None
    if logit_adjustment is not None:
        adjustment = {**(adjustment_metadata or {}), "subtracted": offset.tolist()}
    divisor = {"value": float(temperature), **(temperature_metadata or {})}
    texts = {
        CLASS_NAMES: "".join(f"{name}\n" for name in class_names),
        CONFIGURATION: json.dumps(dict(configuration), indent=1, sort_keys=True),
        SERVING: json.dumps(
            {
                **dataclasses.asdict(preparation),
                "head": head,
                "logit_adjustment": adjustment,
                "temperature": divisor,
            },
            indent=1,
        ),
    }
    # Variables of its own, on one device: under a strategy the network's are mirrored.
    copy = keras.models.clone_model(plain, clone_function=_in_float32)
    copy.set_weights(plain.get_weights())
    copy.trainable = False
    # disable=None: no bar where standard error is no terminal.
    bar = tqdm.tqdm(total=1 + checks, desc="exporting", unit="part", leave=False, disable=None)
    with folders.Replacement(folder) as unfinished, bar:
        _write(copy, head, unfinished, preparation, (offset, temperature), texts)
        if card is not None:
            (unfinished / folders.CARD).write_text(card, encoding="utf-8")
        bar.update()
        if checks:
            verification.compare_logits(
                network, head, unfinished, preparation, (offset, temperature)
            )
    return folder


# ---- what is written


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer like `layer` that computes in float32, as its weights are."""
    if isinstance(layer, keras.Model):  # several layers as one, as those of keras.applications
        return keras.models.clone_model(layer, clone_function=_in_float32)
    config = layer.get_config()
    if "dtype" in config:  # an operation that became a layer may have none
        config["dtype"] = "float32"
    return layer.__class__.from_config(config)


def _write(
    network: keras.Model,
    head: str,
    folder: pathlib.Path,
    preparation: decoding.Preparation,
    change: tuple[np.ndarray, float],
    texts: Mapping[str, str],
) -> None:
    with tempfile.TemporaryDirectory() as aside:
        for name, text in texts.items():
            pathlib.Path(aside, name).write_text(text, encoding="utf-8")
        module = tf.Module()
        # The variables alone: with the model itself Keras would trace every layer's call.
        module.network_variables = list(network.variables)
        module.files = [tf.saved_model.Asset(os.path.join(aside, name)) for name in texts]
        signatures = _signatures(network, head, preparation, change, texts)
        tf.saved_model.save(module, str(folder), signatures=signatures)
    warm_up.write(folder, preparation.image_shape)
    network.save(folder / folders.KERAS_FILE)


def _signatures(
    network, head, preparation, change, texts
) -> dict[str, tf.types.experimental.GenericFunction]:
    offset, temperature = change

    def answer(images):
        rows = tf.shape(images)[0]
        # TensorFlow's fused convolutions give a wrong shape for no rows at all.
        missing = tf.maximum(1 - rows, 0)
        inputs = model_network.unit_pixels(images)
        inputs = tf.pad(inputs, [[0, missing], [0, 0], [0, 0], [0, 0]])
        # The padding has lost the sizes, which TensorFlow Lite's convolutions need to know.
        inputs = tf.reshape(inputs, [-1, *preparation.image_shape])
        logits = network(inputs, training=False)[head]
        logits = calibration.scale_logits(logits[:rows] - offset, temperature)
        return {
            "label": tf.argmax(logits, 1),
            "probabilities": tf.nn.softmax(logits),
            "logits": logits,
        }

    # No size is fixed, so that a wrong one reaches the check that names it: TensorFlow Serving
    # does not compare what it is fed with the signature.
    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None] * 4, tf.uint8, name="images")]
    )
    def serving_default(images):
        return answer(decoding.check_batch(images, preparation))

    # TensorFlow Serving's REST interface asks for this ending of the name.
    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
    )
    def serving_bytes(image_bytes):
        return answer(decoding.decode_batch(image_bytes, preparation))

    @tf.function(autograph=False, input_signature=[])
    def metadata():
        return {
            "class_names": tf.constant(texts[CLASS_NAMES].splitlines()),
            "configuration": tf.constant(texts[CONFIGURATION]),
            "serving": tf.constant(texts[SERVING]),
            "subtracted_from_logits": tf.constant(offset),
            "temperature": tf.constant(temperature, tf.float32),
        }

    return {one.__name__: one for one in (serving_default, serving_bytes, metadata)}
