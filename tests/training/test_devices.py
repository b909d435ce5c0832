"""Which strategy trains on which devices."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from drw_tf import run as runs
from drw_tf.training import devices


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("mirrored", 0, "default"),
        ("one_device", 0, "default"),
        ("mirrored", 1, "GPU:0"),
        ("one_device", 2, "GPU:0"),
        ("mirrored", 2, ["/GPU:0", "/GPU:1"]),
    ],
)
def test_all_gpus_are_taken_if_there_are_two_and_more_than_one_is_asked_for(
    monkeypatch, name, gpus, expected
):
    found = [SimpleNamespace(name=f"/GPU:{number}") for number in range(gpus)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: found)
    for strategy in ("OneDeviceStrategy", "MirroredStrategy"):
        monkeypatch.setattr(tf.distribute, strategy, lambda where: where)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: "default")
    # Without the cache, which holds the strategy of this process.
    assert devices.strategy.__wrapped__(name) == expected


@pytest.mark.parametrize(("method", "allowed"), [("vat", False), ("fixmatch", True)])
def test_finite_differences_are_not_rounded_to_tf32(small_data, resolve, method, allowed):
    tf32 = tf.config.experimental
    tf32.enable_tensor_float_32_execution(True)  # as TensorFlow begins
    try:
        runs.Run(resolve(f"--method={method}"))
        assert tf32.tensor_float_32_execution_enabled() is allowed
    finally:
        tf32.enable_tensor_float_32_execution(True)
