"""Starting a backbone from a file of weights."""

import pathlib

from tensorflow import keras


def load(model: keras.Model, path: str) -> None:
    """Reads the weights of `model` from a file.

    Args:
        model: built; its weights are replaced.
        path: a file that ends in .h5, .weights.h5 or .keras, written by `save_weights`
            or `save` of a model with the same layers.

    Raises:
        ValueError: there is no such file, its ending is another, or its weights do
            not fit `model`.
    """
    file = pathlib.Path(path).expanduser()
    if file.suffix not in (".h5", ".keras"):
        raise ValueError(f"--init_weights must end in .h5 or .keras, got {path!r}.")
    if not file.is_file():
        raise ValueError(f"--init_weights must name a file, there is no {path!r}.")
    try:
        model.load_weights(str(file))
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"--init_weights={path!r} does not fit {model.name}: {error}") from error
