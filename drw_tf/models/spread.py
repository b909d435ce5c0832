"""A network on several devices, each of which answers for a part of every batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras


class SpreadNetwork:
    """Copies of one network that answer together, in inference mode, as it would alone.

    A strategy's replicas cannot do that: each has batch statistics of its own, while what is
    judged has their mean.
    """

    def __init__(self, build: Callable[[], keras.Model], devices: Sequence[str]):
        """Makes the copies.

        Args:
            build: makes a network: float32 [n, H, W, Ch] -> name -> float32 [n, ...].
            devices: names, at least one; of each copy.
        """
        self._devices = devices
        self._copies = []
        for device in devices:
            with tf.device(device):
                self._copies.append(build())

    @property
    def single(self) -> keras.Model:
        """The copy on the first device."""
        return self._copies[0]

    @property
    def input_shape(self) -> tuple:
        """(None, H, W, Ch)."""
        return self.single.input_shape

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Gives every copy these, which `get_weights` of the network has."""
        for copy in self._copies:
            copy.set_weights(weights)

    def __call__(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """What the network answers.

        Args:
            images: float32 [n, H, W, Ch]; n need not be a multiple of the number of devices.
            training: must be False; here as networks have it.

        Returns:
            name -> float32 [n, ...].

        Raises:
            ValueError: `training`: a part of a batch has other batch statistics than the whole.
        """
        if training:
            raise ValueError("training must be False for a network on several devices, got True.")
        size = tf.shape(images)[0]
        parts = len(self._copies)
        # Rows of nothing, so that all have equally many: rows do not see each other here.
        padding = [[0, -size % parts]] + [[0, 0]] * (len(self.input_shape) - 1)
        answers = []
        for device, copy, part in zip(
            self._devices, self._copies, tf.split(tf.pad(images, padding), parts), strict=True
        ):
            with tf.device(device):
                answers.append(copy(part, training=False))
        return {
            name: tf.concat([one[name] for one in answers], axis=0)[:size] for name in answers[0]
        }
