"""Which strategy trains on which devices."""

from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import run as runs
from drw_tf import session
from drw_tf.training import devices, loop


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


@pytest.mark.parametrize(("name", "seen"), [("one_device", ["/GPU:0"]), ("mirrored", None)])
@pytest.mark.parametrize("late", [False, True])
def test_one_device_hides_the_other_gpus_before_their_first_use(monkeypatch, name, seen, late):
    calls = []

    def set_visible(found, kind):
        calls.append((found, kind))
        if late:
            raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["/GPU:0", "/GPU:1"])
    monkeypatch.setattr(tf.config, "set_visible_devices", set_visible)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: calls.append("used") or [])
    devices.strategy.__wrapped__(name)
    assert calls == ([(seen, "GPU")] if seen else []) + ["used"]


@pytest.mark.parametrize(("method", "allowed"), [("vat", False), ("fixmatch", True)])
def test_finite_differences_are_not_rounded_to_tf32(small_data, resolve, method, allowed):
    tf32 = tf.config.experimental
    tf32.enable_tensor_float_32_execution(True)  # as TensorFlow begins
    try:
        runs.Run(resolve(f"--method={method}"))
        assert tf32.tensor_float_32_execution_enabled() is allowed
    finally:
        tf32.enable_tensor_float_32_execution(True)


ALONE, EIGHT = SimpleNamespace(num_replicas_in_sync=1), SimpleNamespace(num_replicas_in_sync=8)


def test_the_line_says_what_trains_and_how(monkeypatch):
    said = devices.line(ALONE, 1, [64], "float32", False)
    assert said == "devices: 1 CPU, 64 labeled pictures a step; float32; XLA off"
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["/GPU:0"])
    said = devices.line(EIGHT, 2, [64, 8000], "bfloat16", True)
    assert said == (
        "devices: 8 GPUs of 2 processes, each 8 labeled + 1,000 unlabeled pictures a step; "
        "bfloat16; XLA on"
    )


@pytest.mark.parametrize(
    ("driver", "gpus", "visible", "told"),
    [
        (True, [], None, True),
        (True, [], "0", True),
        (True, [], "-1", False),
        (True, ["/GPU:0"], None, False),
        (False, [], None, False),
    ],
)
def test_a_gpu_that_tensorflow_does_not_find_is_told(
    monkeypatch, tmp_path, driver, gpus, visible, told
):
    monkeypatch.setattr(devices, "_NVIDIA", tmp_path if driver else tmp_path / "none")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = devices.doubts(ALONE, keras.Sequential(), False)
    assert [one.startswith("training is on the CPU, though") for one in found] == [True] * told


@pytest.mark.parametrize(
    ("synchronized", "is_interleaved", "remedies"),
    [
        (False, False, ["--sync_batch_norm ends both."]),
        (False, True, ["--sync_batch_norm with --forward=joint ends both."]),
        (True, False, []),
        (True, True, ["--forward=joint ends that."]),
        (None, True, []),
    ],
)
def test_statistics_that_depend_on_the_replicas_are_told(synchronized, is_interleaved, remedies):
    layer = keras.layers.BatchNormalization(synchronized=bool(synchronized))
    network = keras.Sequential([] if synchronized is None else [keras.Sequential([layer])])
    assert devices.doubts(ALONE, network, is_interleaved) == []
    found = devices.doubts(EIGHT, network, is_interleaved)
    assert [one.rpartition("; ")[2] for one in found] == remedies
    assert all(one.startswith("each of the 8 replicas") for one in found)


def test_a_training_begins_with_its_data_its_devices_and_doubts(
    small_data, resolve, monkeypatch, caplog
):
    def stopped(*_):
        raise loop.Stopped("here")

    monkeypatch.setattr(loop, "run", stopped)
    monkeypatch.setattr(devices, "doubts", lambda *_: ["a doubt"])
    with caplog.at_level("INFO", "drw_tf"), pytest.raises(loop.Stopped):
        session.train(resolve("--method=fixmatch", "--unlabeled_ratio=3"), ["test"])
    data, line, doubt = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert data[1].startswith("data: 4 classes")
    expected = "devices: 1 CPU, 8 labeled + 24 unlabeled pictures a step; float32; XLA off"
    assert line == ("INFO", expected)
    assert doubt == ("WARNING", "a doubt")
