"""The trained network as a SavedModel with the preprocessing inside, and for Keras.

    <folder>/saved_model.pb, variables/    TensorFlow, TensorFlow Serving
    <folder>/assets/                       class_names.txt, configuration.json, serving.json
    <folder>/assets.extra/                 what TensorFlow Serving warms up with
    <folder>/ema.keras                     keras.models.load_model

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
from tensorflow import keras

from drw_tf.data import image_files
from drw_tf.models import heads
from drw_tf.serving import decoding, folders, verification, warm_up

# Flags that say what an adjustment was made of.
_ADJUSTMENT_FLAGS = ("method", "la_prior", "la_strength", "cdmad_color")
CLASS_NAMES, CONFIGURATION, SERVING = "class_names.txt", "configuration.json", "serving.json"


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
    central_fraction: float | None = None,
    max_megapixels: float = 50.0,
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
    adjustment = None
    if logit_adjustment is not None:
        adjustment = {**(adjustment_metadata or {}), "subtracted": offset.tolist()}
    texts = {
        CLASS_NAMES: "".join(f"{name}\n" for name in class_names),
        CONFIGURATION: json.dumps(dict(configuration), indent=1, sort_keys=True),
        SERVING: json.dumps(
            {**dataclasses.asdict(preparation), "logit_adjustment": adjustment}, indent=1
        ),
    }
    # Variables of its own, on one device: under a strategy the network's are mirrored.
    copy = keras.models.clone_model(plain)
    copy.set_weights(plain.get_weights())
    copy.trainable = False
    with folders.Replacement(folder) as unfinished:
        _write(copy, head, unfinished, preparation, offset, texts)
        if checks:
            verification.compare_logits(network, head, unfinished, preparation, offset)
    return folder


def export_method(
    method,
    folder: str | os.PathLike,
    *,
    dataset,
    configuration: Mapping,
    adjusted: bool = False,
    network: keras.Model | None = None,
) -> pathlib.Path:
    """The folder with the averaged network of a method.

    Args:
        method: a `drw_tf.methods.base.Method`.
        folder: where.
        dataset: the data set that it was trained on; says how pictures are prepared.
        configuration: flags of the run.
        adjusted: bake the method's test-time logit adjustment into the exported logits.
        network: in place of the method's, of equal weights.

    Raises:
        ValueError: `adjusted`, and the method has no adjustment, or one that is not the
            same for all pictures.
        folders.ExportError: see `export_saved_model`.
    """
    from_files = hasattr(dataset.train, "paths")
    return export_saved_model(
        network or method.ema_network,
        folder,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        configuration=configuration,
        head=method.evaluated_head,
        logit_adjustment=adjustment_of(method, dataset.num_classes) if adjusted else None,
        adjustment_metadata={
            name: configuration[name]
            for name in _ADJUSTMENT_FLAGS
            if configuration.get(name) is not None
        },
        central_fraction=image_files.CENTRAL_FRACTION if from_files else None,
    )


def adjustment_of(method, num_classes: int) -> np.ndarray:
    """float64 [C], what the method's `adjust` subtracts from logits.

    Raises:
        ValueError: it adjusts nothing, or not by the same vector everywhere.
    """
    if not method.adjusts:
        raise ValueError("the method must adjust logits at test time, this one does not.")
    zeros = np.zeros([1, num_classes])
    subtracted = -np.asarray(method.adjust(zeros, method.ema_network), np.float64)[0]
    probe = np.arange(2.0 * num_classes).reshape(2, num_classes)
    adjusted = method.adjust(probe, method.ema_network)
    if not np.allclose(adjusted, probe - subtracted, atol=1e-6):
        raise ValueError("the adjustment must subtract the same vector from all logits.")
    return subtracted


# ---- what is written


def _write(
    network: keras.Model,
    head: str,
    folder: pathlib.Path,
    preparation: decoding.Preparation,
    offset: np.ndarray,
    texts: Mapping[str, str],
) -> None:
    with tempfile.TemporaryDirectory() as aside:
        for name, text in texts.items():
            pathlib.Path(aside, name).write_text(text, encoding="utf-8")
        module = tf.Module()
        # The variables alone: with the model itself Keras would trace every layer's call.
        module.network_variables = list(network.variables)
        module.files = [tf.saved_model.Asset(os.path.join(aside, name)) for name in texts]
        signatures = _signatures(network, head, preparation, offset, texts)
        tf.saved_model.save(module, str(folder), signatures=signatures)
    warm_up.write(folder, preparation.image_shape)
    network.save(folder / folders.KERAS_FILE)


def _signatures(
    network, head, preparation, offset, texts
) -> dict[str, tf.types.experimental.GenericFunction]:
    def answer(images):
        rows = tf.shape(images)[0]
        # TensorFlow's fused convolutions give a wrong shape for no rows at all.
        images = tf.pad(images, [[0, tf.maximum(1 - rows, 0)], [0, 0], [0, 0], [0, 0]])
        logits = network(tf.cast(images, tf.float32) / 255.0, training=False)[head]
        logits = logits[:rows] - offset
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
        }

    return {one.__name__: one for one in (serving_default, serving_bytes, metadata)}
