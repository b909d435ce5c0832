"""Predictions of an exported model, with TensorFlow alone."""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

# TensorFlow wraps the sentence of a failed operation into lines that begin so.
_NOT_THE_CAUSE = ("Graph execution error", "Detected at", "File ", "<stack traces", "[[")
_REFUSAL = re.compile(r"assertion failed: \[(.*)\]")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What the model says of N pictures.

    Attributes:
        label: int64 [N], index into the class names.
        probabilities: float32 [N, C].
        logits: float32 [N, C].
    """

    label: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


class Predictor:
    """An exported model that answers batch by batch.

    Attributes:
        class_names: C names.
        configuration: flags of the run that trained it.
        image_shape: (H, W, Ch) of the arrays that it takes.
    """

    def __init__(self, folder: str | os.PathLike, batch: int = 64):
        """Loads the model.

        Args:
            folder: as `export_saved_model` wrote it.
            batch: pictures at a time, >= 1.

        Raises:
            ValueError: `batch` is less than 1, or there is no such export.
        """
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}.")
        self._batch = batch
        if not pathlib.Path(folder, "saved_model.pb").is_file():
            raise ValueError(f"{folder} must be an exported model, it has no saved_model.pb.")
        try:
            self._model = tf.saved_model.load(str(folder))
            facts = self._model.signatures["metadata"]()
        # ValueError: no graph in it; IndexError: variables that are cut off.
        except (OSError, KeyError, ValueError, IndexError, tf.errors.OpError) as error:
            text = " ".join(str(error).split())[:200]
            raise ValueError(f"{folder} cannot be loaded as an exported model: {text}") from None
        self.class_names = tuple(name.decode() for name in facts["class_names"].numpy())
        self.configuration = json.loads(facts["configuration"].numpy())
        self._serving = json.loads(facts["serving"].numpy())
        self.image_shape = tuple(self._serving["image_shape"])

    @property
    def logit_adjustment(self) -> dict | None:
        """What was subtracted from the network's logits, and from where; None for nothing."""
        return self._serving["logit_adjustment"]

    @property
    def temperature(self) -> float:
        """What the logits were divided by after that; 1 for nothing."""
        # An export that is older than the entry was not scaled.
        return self._serving.get("temperature", {"value": 1.0})["value"]

    def predict(self, images: np.ndarray) -> Predictions:
        """Predictions for pictures as arrays.

        Args:
            images: uint8 [N, H, W, Ch].

        Raises:
            ValueError: type or sizes are not these.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(
                f"images must be uint8 [N, H, W, Ch], got {images.dtype} {list(images.shape)}."
            )
        signature = self._model.signatures["serving_default"]
        return self._predict(images, lambda part: signature(images=tf.constant(part)))

    def predict_encoded(self, encoded: Sequence[bytes]) -> Predictions:
        """Predictions for pictures as files' contents.

        Args:
            encoded: N whole JPEG, PNG, GIF or BMP files.

        Raises:
            ValueError: one of them cannot be read; the message says which and why.
        """
        signature = self._model.signatures["serving_bytes"]
        return self._predict(
            encoded, lambda part: signature(image_bytes=tf.constant(list(part), tf.string))
        )

    def _predict(self, inputs: Sequence, answer: Callable) -> Predictions:
        parts = []
        # An empty input is asked for, too: its answer has the right shape.
        for start in range(0, max(len(inputs), 1), self._batch):
            try:
                part = answer(inputs[start : start + self._batch])
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(_cause(error, start)) from None
            parts.append({name: value.numpy() for name, value in part.items()})
        return Predictions(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )


def _cause(error: tf.errors.InvalidArgumentError, start: int) -> str:
    """The one line of an error that is for people, rows counted from the first batch."""
    refusal = _REFUSAL.search(error.message)
    if refusal:
        return re.sub(r"^image (\d+)", lambda found: f"image {start + int(found[1])}", refusal[1])
    lines = [line.strip() for line in error.message.splitlines()]
    told = [line for line in lines if line and not line.startswith(_NOT_THE_CAUSE)]
    return f"a picture from image {start} on: {told[0]}"
