"""Logits and metrics of a network over a whole set of pictures."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.ops import metrics


class Evaluator:
    """Judges networks on one set of pictures; the pictures are loaded once."""

    def __init__(
        self,
        images: records.ArrayImages | records.FileImages,
        image_shape: tuple[int, int, int],
        train_counts: np.ndarray,
        batch: int,
    ):
        """Prepares the batches.

        Args:
            images: all labels known.
            image_shape: (H, W, Ch) of what the network sees.
            train_counts: [C], labeled training pictures, which order Many / Medium / Few.
            batch: pictures at a time.
        """
        self.labels = images.labels
        self.train_counts = train_counts
        self.batches = pipeline.evaluation_batches(images, batch, image_shape)
        self._compiled = {}

    def logits(self, network: keras.Model, head: str = "logits") -> np.ndarray:
        """float32 [N, C] of a head, in inference mode, in the order of the pictures."""
        forward = self._forward(network)
        return np.concatenate([forward(images)[head].numpy() for images in self.batches])

    def metrics(
        self,
        network: keras.Model,
        head: str = "logits",
        adjust: Callable[[np.ndarray, keras.Model], np.ndarray] | None = None,
    ) -> dict:
        """All metrics of `drw_tf.ops.metrics.summarize`, after `adjust` changed the logits."""
        logits = self.logits(network, head)
        if adjust:
            logits = np.asarray(adjust(logits, network))
        return metrics.summarize(self.labels, logits, self.train_counts)

    def _forward(self, network: keras.Model):
        # One graph a network for the whole run: tracing again each epoch would leak memory.
        if id(network) not in self._compiled:

            @tf.function(reduce_retracing=True, autograph=False)
            def forward(images):
                return network(tf.cast(images, tf.float32) / 255.0, training=False)

            self._compiled[id(network)] = forward
        return self._compiled[id(network)]
