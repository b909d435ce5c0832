"""What runs left behind, to be compared: checkpoints and histories."""

import json

import numpy as np
import tensorflow as tf

CLOCK = ("seconds", "images_per_second")


def variables_of(workdir, step=None):
    """All state in a checkpoint: networks, optimizer, histogram, banks, means.

    Args:
        workdir: a run's folder.
        step: of the checkpoint, else the newest one's.

    Returns:
        Dictionary from the name in the checkpoint to the value.
    """
    name = "step_*" if step is None else f"step_{step:09d}"
    folder = sorted((workdir / "checkpoints").glob(name))[-1]
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "CHECKPOINTABLE_OBJECT_GRAPH" not in name and "save_counter" not in name
    }


def without_clock(history):
    """A record's history without what the clock says."""
    return [{key: value for key, value in entry.items() if key not in CLOCK} for entry in history]


def history_of(workdir):
    """The history in a run's record, without what the clock says."""
    return without_clock(json.loads((workdir / "record.json").read_text())["history"])


def assert_same(one, other):
    """Two runs ended alike, bit for bit: histories and all state in the newest checkpoints."""
    assert history_of(other) == history_of(one)
    expected, got = variables_of(one), variables_of(other)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
