"""Logits and metrics of a network over a whole set of pictures."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tqdm
from tensorflow import keras

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.models import network as model_network
from drw_tf.models import spread
from drw_tf.ops import summary

Network = keras.Model | spread.SpreadNetwork


class Evaluator:
    """Judges networks on one set of pictures."""

    def __init__(
        self,
        images: records.ArrayImages | records.FileImages | records.RowsOf,
        image_shape: tuple[int, int, int],
        train_counts: np.ndarray,
        batch: int,
        progress: bool = False,
        team=None,
        graphs: dict | None = None,
    ):
        """Prepares the batches.

        Args:
            images: all labels known.
            image_shape: (H, W, Ch) of what the network sees.
            train_counts: [C], labeled training pictures, which order Many / Medium / Few.
            batch: pictures at a time.
            progress: show a bar where standard error is a terminal.
            team: a `drw_tf.training.cluster.Team` whose workers judge a part each; they must
                all ask the same. None for this process alone.
            graphs: of networks that were judged, filled here; judges that share it trace each
                network once. The networks must live as long. None for those of this judge.
        """
        self._team = team if team and len(images) >= team.workers > 1 else None
        self._size = len(images)
        self.labels = images.labels
        self.train_counts = train_counts
        if self._team:
            images = records.take(images, self._team.rows(len(images)))
        self.batches = pipeline.evaluation_batches(images, batch, image_shape)
        # disable=None: no bar where standard error is no terminal.
        self._bar = functools.partial(
            tqdm.tqdm,
            total=math.ceil(len(self.labels) / batch),
            desc="evaluating",
            unit="batch",
            leave=False,
            disable=None if progress else True,
        )
        self._graphs = {} if graphs is None else graphs

    def logits(self, network: Network, head: str = "logits") -> np.ndarray:
        """float32 [N, C] of a head, in inference mode, in the order of the pictures."""
        return self.logits_of_each([network], head)[0]

    def logits_of_each(
        self,
        networks: Sequence[Network],
        head: str = "logits",
        between: Callable[[], None] = lambda: None,
    ) -> list[np.ndarray]:
        """The same of several networks; each picture is read and decoded once for all of them.

        `between` is called before each batch; what it raises ends the evaluation.
        """
        forwards = [self._forward(network) for network in networks]
        parts = []
        for images in self._bar(self.batches):
            between()
            parts.append([forward(images)[head].numpy() for forward in forwards])
        # Those of one network after the other leave `parts`, which are as large as what is made.
        found = [np.concatenate([part.pop(0) for part in parts]) for _ in forwards]
        return [self._team.joined(one, self._size) for one in found] if self._team else found

    def metrics(self, logits: np.ndarray) -> dict:
        """All metrics of `drw_tf.ops.summary.summarize` of logits [N, C], as they are judged."""
        return summary.summarize(self.labels, logits, self.train_counts)

    def _forward(self, network: Network):
        # One graph a network for the whole run: tracing again each epoch would leak memory.
        if id(network) not in self._graphs:
            signature = [tf.TensorSpec([None, *network.input_shape[1:]], tf.uint8)]

            @tf.function(input_signature=signature, autograph=False)
            def forward(images):
                return network(model_network.unit_pixels(images), training=False)

            self._graphs[id(network)] = forward
        return self._graphs[id(network)]
