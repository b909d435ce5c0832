"""DRw in a training step of your own: scikit-learn's digits, a small network, `fit`.

After `pip install .`: python examples/own_train_step.py
"""

import sys

import numpy as np
import tensorflow as tf
from sklearn import datasets
from tensorflow import keras

from drw_tf import reweighting

LABELED = [40, 28, 20, 14, 10, 7, 5, 3, 2, 2]  # pictures of each class with a label
UNLABELED = [80, 57, 41, 29, 21, 15, 10, 7, 5, 4]
TEST = 50


class OwnModel(keras.Model):
    """A network and FixMatch's step; three lines of it are DRw."""

    def __init__(self, epochs):
        super().__init__()
        self.network = keras.Sequential(
            [
                keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        self.balance = reweighting.DynamicReweighting(LABELED, sum(UNLABELED), epochs)  # 1

    def call(self, images, training=False):
        return self.network(images, training=training)

    def train_step(self, batch):
        (labeled, labels), unlabeled = batch
        weak, strong = shifted(unlabeled), erased(shifted(unlabeled))
        with tf.GradientTape() as tape:
            images = tf.concat([shifted(labeled), weak, strong], axis=0)
            sizes = [labeled.shape[0], weak.shape[0], strong.shape[0]]
            logits, of_weak, of_strong = tf.split(self(images, training=True), sizes)
            loss = self.balance.labeled_loss(logits, labels)  # 2
            loss += self.balance.unlabeled_loss(of_weak, of_strong)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def shifted(images):
    """Pictures moved by up to a pixel, each batch in one direction."""
    return tf.image.random_crop(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), images.shape)


def erased(images):
    """Pictures with a quarter of their pixels black."""
    return images * tf.cast(tf.random.uniform(images.shape) > 0.25, tf.float32)


def digits():
    """Labeled pictures and labels, unlabeled pictures, pictures and labels to test."""
    bunch = datasets.load_digits()
    images = (bunch.images / 16).astype(np.float32)[..., None]
    rows = [np.flatnonzero(bunch.target == digit) for digit in range(10)]
    parts = zip(rows, LABELED, UNLABELED, strict=True)
    pairs = [(row[:n], row[n : n + m]) for row, n, m in parts]
    labeled, unlabeled = (np.concatenate(part) for part in zip(*pairs, strict=True))
    test = np.concatenate([row[-TEST:] for row in rows])
    target = bunch.target
    return images[labeled], target[labeled], images[unlabeled], images[test], target[test]


def main(epochs: int = 20) -> tuple[OwnModel, float]:
    """The trained model, and the mean recall of its classes."""
    keras.utils.set_random_seed(0)
    labeled, labels, unlabeled, test, test_labels = digits()
    known = tf.data.Dataset.from_tensor_slices((labeled, labels)).shuffle(200).repeat()
    pool = tf.data.Dataset.from_tensor_slices(unlabeled).shuffle(300).repeat()
    batches = tf.data.Dataset.zip(
        (known.batch(32, drop_remainder=True), pool.batch(64, drop_remainder=True))
    )
    model = OwnModel(epochs)
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(
        batches,
        steps_per_epoch=20,
        epochs=epochs,
        callbacks=[model.balance.callback()],  # 3
        verbose=0,
    )
    found = model(test).numpy().argmax(axis=1)
    recall = np.mean([np.mean(found[test_labels == digit] == digit) for digit in range(10)])
    return model, float(recall)


if __name__ == "__main__":
    trained, recall_of_classes = main(*map(int, sys.argv[1:]))
    print(f"bACC {100 * recall_of_classes:.1f} %")
    print("pseudo numbers", trained.balance.pseudo_numbers.round(1))
    print("weights       ", trained.balance.unlabeled_weights.round(2))
