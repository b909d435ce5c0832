"""How many elements tf.data makes at once: fixed, as its tuning holds up the end of an iterator.

The thread that tunes is woken at the end before it can read that it is the end. Where it looks too
early, which happens on one core, it sleeps on for up to a minute, and whatever takes the iterator
down waits for it. The iterator with which a strategy feeds GPUs or workers has one more such
thread, that has no switch; a stop leaves it asleep (`drw_tf.ending`).
"""

import os

import tensorflow as tf


def usable_cores() -> int:
    """Cores that this process may use, >= 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The data set without tuning; `tf.data.AUTOTUNE` in it is as many as cores, 16 at most."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
