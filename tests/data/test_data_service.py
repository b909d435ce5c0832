"""Batches of a tf.data service: every step once, each as it would have been made here."""

import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drw_tf import config as configuration
from drw_tf.augment import presets
from drw_tf.augment import views as augment_views
from drw_tf.data import data_service, pipeline
from drw_tf.data import dataset as records
from tests.training import processes

SIZE = 37
SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "data_service.py"


@pytest.fixture(scope="module")
def service():
    """grpc://host:port of a service with two workers, all of it in this process."""
    made = tf.data.experimental.service
    dispatcher = made.DispatchServer(made.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    config = made.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=100)
    workers = [made.WorkerServer(config) for _ in range(2)]
    yield dispatcher.target
    for worker in workers:
        worker._stop()
    dispatcher._stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Nine PNG files of one colour each."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for row in range(9):
        path = folder / f"{row}.png"
        Image.new("RGB", (12, 10), (20 * row + 10,) * 3).save(path)
        paths.append(str(path))
    return records.FileImages(np.asarray(paths), np.arange(9) % 3)


@pytest.fixture(scope="module")
def pixels():
    generator = np.random.default_rng(0)
    made = generator.integers(0, 256, [SIZE, 8, 8, 3], dtype=np.uint8)
    return records.ArrayImages(made, np.arange(SIZE) % 3)


def views():
    return augment_views.Views((8, 8, 3), False, 1, presets.preset("digits"))


def streams(size, sampling="uniform"):
    rows = np.arange(size)
    return [
        pipeline.Stream("labeled", rows, 8, ("weak",), rows % 3, sampling),
        pipeline.Stream("unlabeled", rows, 16, ("weak", "strong")),
    ]


def place(batch):
    """Which rows a batch holds: no two steps of these tests have the same."""
    return tuple(batch["labeled"]["index"]) + tuple(batch["unlabeled"]["index"])


def local(images, made, steps, shard):
    """place -> batch of these steps, made here."""
    numbers = tf.data.Dataset.from_tensor_slices(np.asarray(steps, np.int64))
    found = numbers.map(lambda k: pipeline.one_step(images, made, views(), 0, k, shard)).unbatch()
    return {place(batch): batch for batch in found.as_numpy_iterator()}


@pytest.mark.parametrize("kind", ["pixels", pytest.param("files", marks=pytest.mark.slow)])
def test_every_step_comes_once_and_as_it_would_be_made_here(service, request, kind):
    images = request.getfixturevalue(kind)
    made, shard = streams(len(images.labels)), pipeline.Shard(1, 2, 2)
    batches = data_service.batches(service, images, made, views(), 0, 5, shard)
    got = list(batches.take(2 * 12).as_numpy_iterator())
    # Workers are ahead of what was taken, but not by much.
    expected = local(images, made, range(5, 60), shard)
    assert len({place(batch) for batch in got}) == len(got) == 24
    for batch in got:
        tf.nest.map_structure(np.testing.assert_array_equal, batch, expected[place(batch)])
    keys = list(expected)
    for first, second in zip(got[::2], got[1::2], strict=True):
        # Both replicas' parts are of one step.
        assert keys.index(place(second)) == keys.index(place(first)) + 1
        assert keys.index(place(first)) % 2 == 0


def test_its_batches_are_not_tuned_here(service, pixels):
    made = data_service.batches(service, pixels, streams(SIZE), views(), 0, 0, pipeline.Shard())
    assert made.options().autotune.enabled is False


@pytest.mark.parametrize(
    "sampling", [pytest.param("uniform", marks=pytest.mark.slow), "class_balanced"]
)
def test_steps_hold_the_rows_that_they_hold_without_a_service(pixels, sampling):
    made = streams(SIZE, sampling)
    plain = pipeline.training_batches(pixels, made, views(), 0).take(12).as_numpy_iterator()
    # Rows of class-balanced draws depend on how many steps are drawn at a time.
    expected = [batch["unlabeled"]["index"] for batch in plain]
    got = local(pixels, made, range(12), pipeline.Shard()).values()
    np.testing.assert_array_equal([batch["unlabeled"]["index"] for batch in got], expected)
    labels = np.concatenate([batch["labeled"]["label"] for batch in got])
    assert set(labels) == {0, 1, 2}


def test_a_file_that_only_pillow_reads_is_refused_by_name(files, tmp_path):
    path = str(tmp_path / "one.webp")
    Image.new("RGB", (12, 10)).save(path)
    images = records.FileImages(np.asarray([path, *files.paths[1:]]), files.labels)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"only Pillow reads.*one\.webp"):
        local(images, streams(9), range(12), pipeline.Shard())


def test_pixels_of_this_process_are_refused(service, tmp_path):
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(SIZE, 8, 8, 3))
    images = records.ArrayImages(mapped, np.zeros(SIZE, np.int64))
    with pytest.raises(data_service.DataServiceError, match="kept in the trainer's memory"):
        data_service.batches(service, images, streams(SIZE), views(), 0, 0, pipeline.Shard())


@pytest.fixture
def nobody(monkeypatch):
    """grpc://host:port where nobody listens, and is waited for a second."""
    monkeypatch.setattr(data_service, "_PATIENCE_SECONDS", 1)
    (port,) = processes.free_ports(1)
    return f"grpc://127.0.0.1:{port}"


def test_a_service_that_is_not_there_is_told_at_once_and_refused_after_a_while(
    nobody, pixels, caplog
):
    silence = f"--data_service={nobody} does not answer: Connection refused"
    with pytest.raises(data_service.NoAnswer, match=rf"^{silence}; waited 1 seconds\.$"):
        data_service.batches(nobody, pixels, streams(SIZE), views(), 0, 0, pipeline.Shard())
    assert caplog.messages == [f"{silence}; waiting for it."]


def test_a_service_that_is_being_started_is_waited_for(nobody, monkeypatch):
    monkeypatch.setattr(data_service, "_PATIENCE_SECONDS", 20)
    waiting = threading.Thread(target=data_service._require_answer, args=(nobody,))
    waiting.start()
    time.sleep(0.7)
    assert waiting.is_alive()
    with socket.create_server(("127.0.0.1", int(nobody.rpartition(":")[2]))):
        waiting.join(10)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        # As TensorFlow 2.15 words them after a dispatcher was started again without a journal.
        (
            tf.errors.NotFoundError,
            "Failed to get tasks: Unknown iteration client id 3000. The dispatcher is not "
            "configured to be fault tolerant",
            True,
        ),
        (tf.errors.NotFoundError, "Failed to get split: Iteration id 1000 not found", True),
        (tf.errors.UnavailableError, "failed to connect to all addresses", True),
        (tf.errors.NotFoundError, "/data/train/7.png; No such file or directory", False),
        (tf.errors.InvalidArgumentError, "Input size should match", False),
    ],
)
def test_an_outage_is_told_from_a_picture_that_is_missing(kind, text, expected):
    assert data_service.is_outage(kind(None, None, text)) is expected


def test_batch_that_replicas_do_not_divide_is_refused(service, pixels):
    with pytest.raises(ValueError, match="cannot be divided by 3 replicas"):
        data_service.batches(
            service, pixels, streams(SIZE), views(), 0, 0, pipeline.Shard(workers=3)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data_service=grpc://a:1", "--deterministic"], "cannot be used with --deterministic"),
        (["--data_service=a:1"], "must be grpc://host:port, got a:1"),
        (["--data_service=grpc://a:b"], "must be grpc://host:port"),
    ],
)
def test_what_a_service_cannot_do_is_refused_in_one_line(arguments, message):
    with pytest.raises(configuration.ConfigError, match=message):
        configuration.resolve(configuration.parse(["train", *arguments]))


# ---- the script


@pytest.mark.parametrize(
    "arguments",
    [[], ["--role=worker"], ["--role=dispatcher", "--dispatcher=a:1"], ["--role=other"]],
)
def test_the_script_refuses_roles_that_make_no_sense(arguments):
    # Parsed with TensorFlow at hand already: a process of its own would import it again.
    text = SCRIPT.read_text()
    scope = {"__name__": "data_service", "__doc__": ""}
    exec(compile(text, str(SCRIPT), "exec"), scope)
    with pytest.raises(SystemExit) as caught:
        scope["parse"](arguments)
    assert caught.value.code == 2


@pytest.fixture
def script():
    """script("--role=...", ...): a process of the script, and the line that it printed."""
    running = []

    def start(*arguments):
        words = [sys.executable, str(SCRIPT), "--host=127.0.0.1", *arguments]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        running.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_training_through_the_scripts_processes_and_sigterm_ends_them(script, tmp_path):
    dispatcher, line = script("--role=dispatcher")
    address = line.partition(" ")[2]
    assert address.startswith("grpc://127.0.0.1:")
    workers = [script("--role=worker", f"--dispatcher={address[7:]}")[0] for _ in range(2)]
    words = [
        *(sys.executable, "-m", "drw_tf.train", *processes.TINY),
        *(f"--data_service={address}", f"--workdir={tmp_path / 'run'}"),
    ]
    subprocess.run(words, check=True, cwd=processes.ROOT, capture_output=True, timeout=300)
    assert (tmp_path / "run" / "record.json").exists()
    for process in (*workers, dispatcher):
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.slow
def test_a_dispatcher_that_was_started_again_without_a_journal_is_a_stop(script, tmp_path):
    (port,) = processes.free_ports(1)
    address = f"127.0.0.1:{port}"
    dispatcher, _ = script("--role=dispatcher", f"--port={port}")
    script("--role=worker", f"--dispatcher={address}")
    words = [
        *(sys.executable, "-m", "drw_tf.train", *processes.TINY, "--steps=20000"),
        *("--steps_per_epoch=10000", f"--data_service=grpc://{address}"),
        f"--workdir={tmp_path / 'run'}",
    ]
    with subprocess.Popen(words, cwd=processes.ROOT, stderr=subprocess.PIPE, text=True) as training:
        processes.wait_for(lambda: list((tmp_path / "run" / "checkpoints").glob("step_*")))
        dispatcher.kill()
        dispatcher.wait()
        script("--role=dispatcher", f"--port={port}")
        _, printed = training.communicate(timeout=120)
    assert training.returncode == 75, printed
    assert "Traceback" not in printed
    (line,) = [one for one in printed.splitlines() if one.startswith("train:")]
    assert f"stopped by a lost data service (--data_service=grpc://{address}: Failed to get" in line
    assert line.endswith("); the same command goes on from the last checkpoint.")
