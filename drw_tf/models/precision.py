"""In which numbers a network computes; its weights and its answers are float32 always."""

import contextlib
from collections.abc import Iterator

from tensorflow import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers made inside compute in these numbers; Keras' own policy stands again after it.

    Args:
        precision: "float32", "bfloat16" or "float16".
    """
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
