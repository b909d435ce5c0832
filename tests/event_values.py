"""What a run wrote for TensorBoard, read back."""

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

from drw_tf.report import event_files


def read(logdir):
    """The last value written for each tag and step, of all event files below a folder.

    A file whose tail is cut off or damaged, as after a kill, is read up to there.

    Args:
        logdir: folder with event files, also in folders below it. Tags of the latter are
            preceded by the folder's name, as in `validation/loss`.

    Returns:
        Dictionary from (tag, step) to the value: a float for a scalar, otherwise an array
        as it was written (encoded PNG strings for images, bytes for text).
    """
    values = {}
    for path in event_files.find(logdir):
        folder = path.parent.relative_to(logdir).as_posix()
        prefix = "" if folder == "." else f"{folder}/"
        for event in _events(path):
            for value in event.summary.value:
                values[prefix + value.tag, event.step] = _decoded(value)
    return values


def times_written(logdir, tag, step):
    """How often a value of this tag and step stands in the event files of a folder."""
    events = [event for path in event_files.find(logdir) for event in _events(path)]
    return sum(
        value.tag == tag for one in events if one.step == step for value in one.summary.value
    )


def _events(path):
    """Events of one file up to its first unreadable byte."""
    for record in event_file_loader.RawEventFileLoader(str(path)).Load():
        yield tf.compat.v1.Event.FromString(record)


def _decoded(value):
    """Float of a scalar, otherwise the array in the event."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return np.asarray(getattr(value, kind).SerializeToString())
    array = tf.make_ndarray(value.tensor)
    is_number = np.issubdtype(array.dtype, np.number)
    return float(array) if array.ndim == 0 and is_number else array
