"""Starting a backbone from a file of weights."""

import pathlib

from tensorflow import keras


class WeightsError(ValueError):
    """Weights cannot be had from a file; the message is one line for the user."""


def load(model: keras.Model, path: str) -> None:
    """Reads the weights of `model` from a file.

    Args:
        model: built; its weights are replaced.
        path: a file that ends in .h5, .weights.h5 or .keras, written by `save_weights`
            or `save` of a model with the same layers.

    Raises:
        WeightsError: there is no such file, its ending is another, or its weights do
            not fit `model`.
    """
    file = pathlib.Path(path).expanduser()
    if file.suffix not in (".h5", ".keras"):
        raise WeightsError(f"--init_weights must end in .h5 or .keras, got {path!r}.")
    if not file.is_file():
        raise WeightsError(f"--init_weights must name a file, there is no {path!r}.")
    try:
        model.load_weights(str(file))
    except (ValueError, KeyError, OSError) as error:
        raise WeightsError(f"--init_weights={path!r} does not fit {model.name}: {error}") from error


def require_still_there(path: str, why: str) -> None:
    """Nothing; a file that is gone since it was read is refused before it is needed again.

    Args:
        path: "none", "imagenet", or a file as `load` takes it.
        why: it is needed, the end of a sentence.

    Raises:
        WeightsError: the file is not there.
    """
    if path not in ("none", "imagenet") and not pathlib.Path(path).expanduser().is_file():
        raise WeightsError(f"--init_weights must name a file, there is no {path!r}; {why}.")
