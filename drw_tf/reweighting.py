"""Dynamic re-weighting as one object, for a `train_step` of your own.

    balance = reweighting.DynamicReweighting(labeled_counts, pool_size, epochs)   # once
    loss = balance.labeled_loss(logits, labels) + balance.unlabeled_loss(weak, strong)   # each step
    model.fit(..., epochs=epochs, callbacks=[balance.callback()])   # or balance.end_epoch()

It is made of the parts that the trainer uses; the formulas are in `drw_tf.ops.reweighting`.
`examples/own_train_step.py` is a whole program.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import tally
from drw_tf.ops import losses, pseudo_labels, replicas, reweighting
from drw_tf.rebalance import base, class_weights

# Lengths are told in epochs here. Rounded to whole ones, the start could come an epoch too soon;
# in thousandths it is rounded as by the trainer, which knows the steps of an epoch.
_STEPS = 1000


@keras.utils.register_keras_serializable("drw_tf")
class DynamicReweighting(keras.layers.Layer):
    """The two losses of DRw, and the weights that change between epochs.

    As an attribute of a Keras model its state is in the model's checkpoints and files of weights.
    Of a functional model that is saved whole (`.keras`) it is found again where the attribute is
    called `balance`, or else by a name that sorts before `layers`, and then by
    `get_layer("dynamic_reweighting")`. Of two in one model each needs a `name` of its own: files
    know them by it.

    Under a `tf.distribute` strategy it counts on all replicas; make it inside the strategy's
    scope. Keras adds up the gradients of the replicas, so each loss is a replica's share: the
    mean over its own rows, divided by the number of replicas. Divide it by nothing more. What
    `fit` shows is the sum of the shares, the loss of the whole batch where all replicas have as
    many rows (`drop_remainder=True`); a replica without rows adds nothing.
    """

    def __init__(
        self,
        labeled_counts: Sequence[int],
        pool_size: int,
        epochs: int,
        *,
        beta: float | str = "auto",
        reweight_start: float = 0.4,
        threshold: float = 0.95,
        weight_normalization: str = "class",
        max_weight_ratio: float = 0.0,
        pseudo_smoothing: float = 0.0,
        name: str = "dynamic_reweighting",
    ):
        """Fixes the labeled weights; the unlabeled ones start at 1.

        Args:
            labeled_counts: [C], labeled pictures of each class, >= 1.
            pool_size: pictures that unlabeled batches are drawn from, >= 1.
            epochs: how many there will be, >= 1.
            beta: in [0, 1); "auto" is .999 up to an imbalance of 50 and .995 above;
                "auto_mean" and "literal": `drw_tf.ops.reweighting.resolve_beta`.
            reweight_start: share of the epochs before the unlabeled loss is weighted, [0, 1).
                The weights change at the first end of an epoch that is not before it: .4 of 3
                epochs is after 2.
            threshold: tau, least confidence of a pseudo-label, in [0, 1].
            weight_normalization: `drw_tf.ops.reweighting.class_weights`.
            max_weight_ratio: largest weight over the smallest at most, >= 1, for labeled and
                unlabeled weights; 0 bounds nothing. A class without pseudo-labels takes most of
                the unlabeled weight from all others where nothing bounds it.
            pseudo_smoothing: share of the earlier epochs in the pseudo numbers that the
                unlabeled weights come from, [0, 1); `pseudo_numbers` stay those of the epoch.
            name: of the layer.

        Raises:
            ValueError: a value is out of its range.
        """
        super().__init__(trainable=False, dtype="float32", name=name)
        counts = np.asarray(labeled_counts, np.float64)
        if counts.ndim != 1 or not (counts >= 1).all():
            raise ValueError(f"labeled_counts must be [C], each >= 1, got {labeled_counts}.")
        if min(pool_size, epochs) < 1:
            raise ValueError(f"pool_size and epochs must be >= 1, got {pool_size}, {epochs}.")
        if not 0 <= reweight_start < 1:
            raise ValueError(f"reweight_start must be in [0, 1), got {reweight_start}.")
        if max_weight_ratio != 0 and not 1 <= max_weight_ratio < math.inf:
            raise ValueError(f"max_weight_ratio must be 0 or >= 1, got {max_weight_ratio}.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be in [0, 1], got {threshold}.")
        if not 0 <= pseudo_smoothing < 1:
            raise ValueError(f"pseudo_smoothing must be in [0, 1), got {pseudo_smoothing}.")
        self.threshold = threshold
        facts = base.Facts(len(counts), counts, pool_size, epochs * _STEPS, _STEPS)
        values = {
            "beta": beta,
            "weight_normalization": weight_normalization,
            "reweight_start": reweight_start,
            "max_weight_ratio": max_weight_ratio,
            "pseudo_smoothing": pseudo_smoothing,
        }
        self._config = {
            **{"labeled_counts": counts.tolist(), "pool_size": pool_size, "epochs": epochs},
            **{"threshold": threshold, **values, "name": name},
        }
        hyper = base.Hyperparameters(values, tuple(values))
        self._labeled = class_weights.LabeledWeights(hyper, facts)
        self._unlabeled = class_weights.DynamicWeights(hyper, facts)
        self._histogram = tally.PseudoLabelHistogram(len(counts), pool_size, "epoch")
        self._pool_size = pool_size
        self._epochs_done = tf.Variable(0, trainable=False, dtype=tf.int64, name="epochs_done")
        # The epoch that `fit` is in, by its own number; -1 between two.
        self._open_epoch = tf.Variable(-1, trainable=False, dtype=tf.int64, name="open_epoch")
        # 0 until there are any, which are 1 or more.
        self._numbers = tf.Variable(tf.zeros([len(counts)]), trainable=False, name="pseudo_numbers")
        self.built = True

    def get_config(self) -> dict:
        """What `from_config` makes one like this of, its state apart."""
        return dict(self._config)

    @property
    def pseudo_numbers(self) -> np.ndarray | None:
        """float64 [C], of the last ended epoch that counted any; None before."""
        numbers = np.asarray(self._numbers.numpy(), np.float64)
        return numbers if numbers.any() else None

    def labeled_loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Scalar, nats: cross-entropy, each row weighted by its class (Eq. 9).

        This replica's share: the mean over its rows, divided by the number of replicas.

        Args:
            logits: float [B, C].
            labels: int [B].

        Raises:
            ValueError: labels are no integers, or one-hot.
        """
        labels = tf.convert_to_tensor(labels)
        if not labels.dtype.is_integer or labels.shape.rank not in (None, 1):
            raise ValueError(
                f"labels must be integers [B], got {labels.dtype.name} {labels.shape}."
            )
        labels = tf.ensure_shape(tf.cast(labels, tf.int32), [None])
        each = losses.cross_entropy(logits, labels)
        weights = self._labeled.labeled_weights(labels)
        return _share(reweighting.weighted_labeled_loss(each, weights), each)

    def unlabeled_loss(self, logits_weak: tf.Tensor, logits_strong: tf.Tensor) -> tf.Tensor:
        """Scalar, nats: confident pseudo-labels taught to the strong views, weighted (Eq. 10).

        This replica's share: the mean over its rows, divided by the number of replicas. Counts
        the pseudo-labels, so call it once a batch. No gradient goes through the weak views.

        Args:
            logits_weak: float [U, C]. The confidence is computed in float32: in 16 bits it
                would be rounded before it is compared with the threshold.
            logits_strong: float [U, C], of the same pictures.
        """
        logits_weak = tf.stop_gradient(tf.cast(logits_weak, tf.float32))
        label, _, mask = pseudo_labels.hard_pseudo_labels(
            tf.nn.softmax(logits_weak), self.threshold
        )
        each = losses.cross_entropy(logits_strong, label)
        weights = self._unlabeled.unlabeled_weights(label)
        self._histogram.add(label, mask, weights * mask * each, None)
        return _share(reweighting.weighted_unlabeled_loss(each, weights, mask), each)

    def end_epoch(self) -> np.ndarray | None:
        """float64 [C], `pseudo_numbers`; sets the next epoch's weights from them.

        An epoch in which nothing was counted leaves both as they were.
        """
        counted, rows = self._histogram.numbers("all")
        self._epochs_done.assign_add(1)
        if rows:
            self._numbers.assign(reweighting.pseudo_numbers(counted, rows, self._pool_size))
            step = int(self._epochs_done.numpy()) * _STEPS
            self._unlabeled.end_epoch(base.Observation(step, self.pseudo_numbers))
        self._histogram.reset()
        return self.pseudo_numbers

    def callback(self) -> keras.callbacks.Callback:
        """What to give to `fit`: calls `end_epoch`.

        It must stand first among the callbacks: what stands before it and saves at the end of an
        epoch (`ModelCheckpoint`, `BackupAndRestore`) saves an epoch that is not closed.
        """

        def begin(epoch, logs):
            # Where an epoch was saved after its last batch (`save_freq`), training goes on with
            # the next one, and that end is never told.
            is_left_open = int(self._open_epoch.numpy()) not in (-1, epoch)
            if is_left_open and self._histogram.numbers("all")[1]:
                self.end_epoch()
            self._open_epoch.assign(epoch)

        def end(epoch, logs):
            self.end_epoch()
            self._open_epoch.assign(-1)

        return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)

    @property
    def labeled_weights(self) -> np.ndarray:
        """float32 [C], w^l."""
        return self._labeled.class_weights.numpy()

    @property
    def unlabeled_weights(self) -> np.ndarray:
        """float32 [C], w^u as it is now."""
        return self._unlabeled.class_weights.numpy()


def _share(loss: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """A replica's share of a mean over rows; 0 where it has none, whose mean is not a number."""
    return tf.where(tf.size(rows) > 0, loss, tf.zeros_like(loss)) / replicas.count()
