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
        train_counts: np.ndarray,
        batch: int,
    ):
        """Prepares the batches.

        Args:
            images: all labels known.
            train_counts: [C], labeled training pictures, which order Many / Medium / Few.
            batch: pictures at a time.
        """
        self.labels = images.labels
        self.train_counts = train_counts
        self.batches = pipeline.evaluation_batches(images, batch)
        self._compiled = {}

    def logits(self, network: keras.Model) -> np.ndarray:
        """float32 [N, C], in inference mode, in the order of the pictures."""
        return np.concatenate([step.numpy() for step in map(self._forward(network), self.batches)])

    def metrics(
        self,
        network: keras.Model,
        adjust: Callable[[np.ndarray], np.ndarray] = lambda logits: logits,
    ) -> dict:
        """All metrics of `drw_tf.ops.metrics.summarize`, after `adjust` changed the logits."""
        logits = np.asarray(adjust(self.logits(network)))
        return metrics.summarize(self.labels, logits, self.train_counts)

    def _forward(self, network: keras.Model):
        # One graph a network for the whole run: tracing again each epoch would leak memory.
        if id(network) not in self._compiled:

            @tf.function(reduce_retracing=True)
            def forward(images):
                images = tf.cast(images, tf.float32) / 255.0
                return network(images, training=False)["logits"]

            self._compiled[id(network)] = forward
        return self._compiled[id(network)]
