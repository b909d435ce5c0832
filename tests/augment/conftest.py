"""Pictures and comparisons for the tests of augmentation."""

import base64
import zlib

import numpy as np
import pytest
import tensorflow as tf


def unpacked(packed):
    """uint8 array of {"shape", "zlib_base64"}."""
    raw = zlib.decompress(base64.b64decode(packed["zlib_base64"]))
    return np.frombuffer(raw, np.uint8).reshape(packed["shape"])


@pytest.fixture(scope="session")
def recorded(golden):
    """What the published code gave: by operation, cases and (images, magnitudes, outputs)."""
    content = golden("randaugment_ops")
    images = {name: unpacked(packed) for name, packed in content["images"].items()}
    cases, batches = {}, {}
    for case in content["cases"]:
        inputs, outputs = case["inputs"], case["outputs"]
        cases.setdefault(inputs["op"], []).append(case)
        if "image" in inputs:
            parts = batches.setdefault(inputs["op"], {}).setdefault(inputs["image"], ([], [], []))
            row = images[inputs["image"]], np.float32(inputs["magnitude"] or 0), unpacked(outputs)
            for part, value in zip(parts, row, strict=True):
                part.append(value)
    stacked = {op: [tuple(map(np.stack, b)) for b in of.values()] for op, of in batches.items()}
    return {
        "cases": cases,
        "batches": stacked,
        "ranges": content["ranges"],
        "atol": content["tolerance"]["atol"],
    }


@pytest.fixture(scope="session")
def pictures():
    """pictures(shape, rows, seed): uint8 [rows, *shape], blocks, ramps and noise."""

    def make(shape, rows=6, seed=0):
        height, width, channels = shape
        random = np.random.default_rng(seed)
        noise = random.integers(0, 256, (rows, *shape))
        ramp = np.arange(height)[:, None, None] * 5 + np.arange(width)[:, None] * 3
        ramp = ramp + 40 * np.arange(channels) + random.integers(0, 60, (rows, 1, 1, 1))
        blocks = np.repeat(np.repeat(noise[:, ::4, ::4], 4, 1), 4, 2)[:, :height, :width]
        kind = np.arange(rows)[:, None, None, None] % 3
        return np.where(kind == 0, noise, np.where(kind == 1, ramp % 200, blocks)).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def in_map():
    """in_map(function, *arrays): the function of whole arrays, run inside Dataset.map."""

    def run(function, *arrays):
        dataset = tf.data.Dataset.from_tensors(arrays).map(function)
        return next(iter(dataset)).numpy()

    return run
