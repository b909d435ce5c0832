"""Where folders lie, through links and `~`."""

import os
import pathlib


def lies_in(place: str | os.PathLike, folder: str | os.PathLike) -> bool:
    """Whether a place is a folder or lies below it; neither need exist."""
    inner, outer = (pathlib.PurePath(os.path.realpath(_at_home(one))) for one in (place, folder))
    return inner.is_relative_to(outer)


def is_run(init_weights: str) -> bool:
    """Whether `--init_weights` names the folder of a run, not Keras's weights nor a file."""
    suffix = pathlib.PurePath(init_weights).suffix
    return init_weights not in ("none", "imagenet") and suffix not in (".h5", ".keras")


def _at_home(path: str | os.PathLike) -> str:
    return os.path.expanduser(os.fspath(path))
