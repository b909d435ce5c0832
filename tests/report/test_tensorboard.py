import contextlib
import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.report import event_files, tensorboard
from drw_tf.training import checkpoint
from tests import event_values

NAMES = ["cat", "dog, hound", "sea/lake", "cat"]
TAGS = ["cat (0)", "dog, hound", "sea_lake", "cat (3)"]


def logged(logdir, entries, names=NAMES):
    with tensorboard.TensorBoardLog(logdir, names) as log:
        for entry in entries:
            log.log_evaluation(entry)
    values = event_values.read(logdir)
    return {key: value for key, value in values.items() if isinstance(value, float)}


def test_every_number_of_an_evaluation_is_a_scalar(tmp_path, make_entry):
    got = logged(tmp_path, [make_entry(50, 4), make_entry(100, 4)])
    assert {step for _, step in got} == {50, 100}
    expected = {
        # tag: value at step 100, float32
        "train/loss": 0.02,
        "train/loss_labeled": 0.015,
        "train/loss_unlabeled": 0.005,
        "train/mask_rate": 0.75,
        "train/learning_rate": 0.03,
        "train/images_per_second": 400.0,
        "train/seconds": 50.0,
        "train/epoch": 2.0,
        "pseudo_imbalance_ratio": 7.0,
        "test_ema/balanced_accuracy": 0.3225,
        "test_ema/ece": 0.05,
        "test_raw/balanced_accuracy": 0.125,
        "test_raw/loss": 0.01,
        # 100 * (C - c) + step / 100
        "pseudo_number/cat (0)": 401.0,
        "pseudo_number/cat (3)": 101.0,
        # (c + 1) / (2 C)
        "recall/dog, hound": 0.25,
        "precision/dog, hound": 0.125,
        "unlabeled_loss/sea_lake": 20.0,
        "unlabeled_weight/sea_lake": 1.0,
        "labeled_weight/sea_lake": 1.0,
    }
    for tag, value in expected.items():
        assert got[tag, 100] == pytest.approx(value, rel=1e-6), tag
    classes = {tag.split("/", 1)[1] for tag, _ in got if tag.startswith("pseudo_number/")}
    assert classes == set(TAGS)
    assert not [tag for tag, _ in got if "confusion" in tag]


def test_each_evaluation_is_on_disk_before_the_log_is_closed(tmp_path, make_entry):
    log = tensorboard.TensorBoardLog(tmp_path, NAMES)
    log.log_evaluation(make_entry(50, 4))
    assert ("train/loss", 50) in event_values.read(tmp_path)
    log.close()


def test_an_evaluation_withstands_a_power_cut_as_the_checkpoint_after_it(
    tmp_path, monkeypatch, make_entry
):
    logdir = tmp_path / "tensorboard"
    tensorboard.TensorBoardLog(logdir, NAMES).close()
    earlier = event_files.find(logdir)
    fsync, flushed = os.fsync, []

    def noted(descriptor):
        path = pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        flushed.append((path.name, path.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    log = tensorboard.TensorBoardLog(logdir, NAMES)
    (path,) = set(event_files.find(logdir)) - set(earlier)
    assert [name for name, _ in flushed] == [path.name, "tensorboard"]
    log.log_evaluation(make_entry(50, 4))
    checkpoint.Checkpoints(tmp_path / "checkpoints", tf.Module(), 1).save(50, {"step": 50})
    names = [name for name, _ in flushed]
    whole = (path.name, path.stat().st_size)
    assert flushed.index(whole) < names.index("state.json")
    log.close()


def test_events_that_do_not_come_to_the_disk_are_one_line(tmp_path, monkeypatch, make_entry):
    log = tensorboard.TensorBoardLog(tmp_path, NAMES)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = f"{tmp_path}: TensorBoard's events could not be written: No space left on device."
    with pytest.raises(OSError, match=f"^{re.escape(said)}$"):
        log.log_evaluation(make_entry(50, 4))


def test_undefined_values_are_left_out_and_nan_is_kept(tmp_path, make_entry):
    entry = make_entry(50, 4)
    entry["test"]["ema"]["recall"] = [0.5, None, float("nan"), 1.0]
    entry["test"]["ema"]["many"] = None
    entry["train"]["loss"] = float("nan")
    got = logged(tmp_path, [entry])
    assert np.isnan(got["train/loss", 50])
    assert np.isnan(got["recall/sea_lake", 50])
    assert ("recall/dog, hound", 50) not in got
    assert ("test_ema/many", 50) not in got


def test_supervised_run_without_unlabeled_data_and_without_test_set(tmp_path):
    got = logged(tmp_path, [{"step": 5, "epoch": 1, "train": {"loss": 2.0}}])
    assert got == {("train/loss", 5): 2.0, ("train/epoch", 5): 1.0}


def test_unknown_lists_of_one_number_a_class_are_logged_under_their_name(tmp_path, make_entry):
    entry = {**make_entry(50, 4), "pseudo_label_recall": [0.0, 0.25, 0.5, 1.0]}
    assert logged(tmp_path, [entry])["pseudo_label_recall/sea_lake", 50] == 0.5


def test_list_of_another_length_is_refused_by_name(tmp_path, make_entry):
    entry = {**make_entry(50, 4), "pseudo_numbers": [1.0, 2.0]}
    with (
        tensorboard.TensorBoardLog(tmp_path, NAMES) as log,
        pytest.raises(ValueError, match=r"pseudo_number must be a number or 4 numbers.*\[2\]"),
    ):
        log.log_evaluation(entry)


def test_many_classes_get_a_histogram_and_extremes_in_place_of_a_scalar_each(tmp_path, make_entry):
    names = [f"class {index}" for index in range(201)]
    logged(tmp_path, [make_entry(100, 201)], names)
    got = event_values.read(tmp_path)
    # Pseudo numbers: 100 * (201 - c) + 1.
    assert got["pseudo_number/smallest", 100] == 101.0
    assert got["pseudo_number/median", 100] == 10101.0
    assert got["pseudo_number/largest", 100] == 20101.0
    assert got["pseudo_number", 100][:, 2].sum() == 201
    assert ("pseudo_number/class 0", 100) not in got


def test_200_classes_still_get_a_scalar_each(tmp_path, make_entry):
    got = logged(tmp_path, [make_entry(100, 200)], [f"class {index}" for index in range(200)])
    assert got["pseudo_number/class 199", 100] == 101.0


def test_images_come_as_one_sheet_with_small_ones_enlarged(tmp_path):
    images = np.zeros([10, 8, 8, 1], np.uint8)
    images[9] = 200
    with tensorboard.TensorBoardLog(tmp_path, NAMES) as log:
        log.log_images("first_batch/weak", images, step=0)
    sheet = tf.io.decode_png(event_values.read(tmp_path)["first_batch/weak", 0][2]).numpy()
    # 8 pixels are enlarged 6 times to 48, one white pixel follows; 8 in a row, 2 rows.
    assert sheet.shape == (98, 392, 1)
    assert (sheet[:48, :48] == 0).all()
    assert (sheet[:, 48] == 255).all()
    assert (sheet[49:97, 49:97] == 200).all()
    assert (sheet[49:97, 98:] == 255).all()


def test_sheet_holds_64_images_at_most(tmp_path):
    with tensorboard.TensorBoardLog(tmp_path, NAMES) as log:
        log.log_images("x", np.zeros([100, 32, 32, 3], np.uint8), step=0)
    sheet = tf.io.decode_png(event_values.read(tmp_path)["x", 0][2])
    assert sheet.shape == (8 * 65, 8 * 65, 3)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros([2, 8, 8, 3], np.float32),
        np.zeros([8, 8, 3], np.uint8),
        np.zeros([2, 8, 8, 4], np.uint8),
        np.zeros([0, 8, 8, 3], np.uint8),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(tmp_path, images):
    with (
        tensorboard.TensorBoardLog(tmp_path, NAMES) as log,
        pytest.raises(ValueError, match="images must be"),
    ):
        log.log_images("x", images, step=0)


# ---- a real TensorBoard server


def write_run(logdir, make_entry):
    """A run that reached step 150, was taken back to 100, and went on to 200."""
    with tensorboard.TensorBoardLog(logdir, NAMES) as log:
        log.log_text({"beta": 0.999, "wide": "a|b\nc", "seeds": (1, 2)})
        log.log_images("first_batch/weak", np.zeros([4, 8, 8, 3], np.uint8), step=0)
        for step in (50, 100, 150):
            log.log_evaluation({**make_entry(step, 4), "wrong": float(step == 150)})
    event_files.truncate(logdir, 100)
    with tensorboard.TensorBoardLog(logdir, NAMES) as log:
        for step in (150, 200):
            log.log_evaluation(make_entry(step, 4))
        log.log_confusion(np.diag([5, 4, 3, 2]), step=200)
        flags = {"method": "drw", "beta": 0.999, "deterministic": False, "seed": 3}
        log.log_hparams(
            {**flags, "none": None, "widths": [1, 2]}, {"bacc_mean_last_20": 0.875}, step=200
        )


@pytest.fixture(scope="module")
def get(tmp_path_factory, make_entry):
    """A function that asks a running TensorBoard server: path and query -> JSON or bytes."""
    folder = tmp_path_factory.mktemp("served")
    write_run(folder / "logs" / "drw", make_entry)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "logs")]
    options = ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    with open(folder / "output", "w") as output:
        server = subprocess.Popen([*command, *options], stdout=output, stderr=output)
    try:
        address = wait_for_address(server, folder / "output")

        last_tag = "final/bacc_mean_last_20"

        def ask(path, **query):
            url = f"{address}/data/{path}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                content = answer.read()
                is_json = answer.headers["Content-Type"].startswith("application/json")
                return json.loads(content) if is_json else content

        wait_until(lambda: last_tag in ask("plugin/scalars/tags").get("drw", {}))
        yield ask
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_for_address(server, output):
    def address():
        assert server.poll() is None, output.read_text()
        return re.search(r"http://127\.0\.0\.1:\d+", output.read_text())

    wait_until(address)
    return address().group()


@pytest.mark.slow
def test_server_lists_the_tags(get):
    tags = set(get("plugin/scalars/tags")["drw"])
    assert tags >= {"train/loss", "test_ema/balanced_accuracy", "pseudo_imbalance_ratio"}
    assert tags >= {f"pseudo_number/{name}" for name in TAGS}
    assert set(get("plugin/images/tags")["drw"]) == {"first_batch/weak", "confusion/ema"}


@pytest.mark.slow
def test_server_serves_the_undisturbed_curve_after_a_resume(get):
    points = get("plugin/scalars/scalars", run="drw", tag="pseudo_number/sea_lake")
    # 100 * (C - c) + step / 100 at c = 2.
    assert [(step, value) for _, step, value in points] == [
        (50, 200.5),
        (100, 201.0),
        (150, 201.5),
        (200, 202.0),
    ]
    assert [point[1] for point in get("plugin/scalars/scalars", run="drw", tag="wrong")] == [
        50,
        100,
    ]


@pytest.mark.slow
def test_server_serves_pictures(get):
    (found,) = get("plugin/images/images", run="drw", tag="confusion/ema", sample=0)
    assert found["step"] == 200
    picture = get(f"plugin/images/individualImage?{found['query']}&x=")
    assert tf.io.decode_image(picture).shape[0] > 300


@pytest.mark.slow
def test_server_serves_the_configuration_as_a_table(get):
    (found,) = get("plugin/text/text", run="drw", tag="configuration")
    assert "<td>beta</td>" in found["text"]
    assert "<code>0.999</code>" in found["text"]
    assert found["text"].count("<tr>") == 4
    assert "a|b" in found["text"]


@pytest.mark.slow
def test_server_draws_all_classes_in_one_chart(get):
    layout = get("plugin/custom_scalars/layout")
    charts = {chart["title"]: chart for part in layout["category"] for chart in part["chart"]}
    (pattern,) = charts["pseudo number of each class"]["multiline"]["tag"]
    found = get("plugin/custom_scalars/scalars", run="drw", tag=pattern)
    assert set(found["tag_to_events"]) == {f"pseudo_number/{name}" for name in TAGS}
    for chart in charts.values():
        (pattern,) = chart["multiline"]["tag"]
        assert get("plugin/custom_scalars/scalars", run="drw", tag=pattern)["tag_to_events"], (
            pattern
        )


@pytest.mark.slow
def test_server_shows_flags_and_results_in_the_hparams_tab(get):
    experiment = get("plugin/hparams/experiment", request="{}")
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert names == {"method", "beta", "deterministic", "seed", "widths"}
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [{"metric": {"tag": "final/bacc_mean_last_20", "group": ""}}],
        "startIndex": 0,
        "sliceSize": 10,
    }
    found = get("plugin/hparams/session_groups", request=json.dumps(request))
    (group,) = found["sessionGroups"]
    assert group["hparams"]["method"] == "drw"
    assert group["hparams"]["beta"] == 0.999
    assert group["hparams"]["widths"] == "[1, 2]"
    assert group["metricValues"][0]["value"] == 0.875
    assert group["metricValues"][0]["trainingStep"] == 200


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    log = tensorboard.TensorBoardLog(tmp_path, "ab")

    @contextlib.contextmanager
    def as_default():
        yield
        # As TensorFlow 2.15 words it on a full tmpfs.
        message = "/run/events.v2; No space left on device\n\tFailed to flush 1 events to events.v2"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(log._writer, "as_default", as_default)
    with pytest.raises(OSError, match=r"written: No space left on device\.$") as caught:
        log.log_text({"seed": 1})
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("end", ["\n\tFailed to flush 1 events to it", " [Op:Create] name: "])
def test_a_disk_that_is_full_before_the_log_is_made_is_one_line(tmp_path, monkeypatch, end):
    def full(logdir):
        # As TensorFlow 2.15 words it on a tmpfs without space, and on one without inodes.
        message = f"{{{{function_node __wrapped__Create}}}} {logdir}; No space left on device{end}"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tf.summary, "create_file_writer", full)
    said = f"{tmp_path}: TensorBoard's events could not be written: No space left on device."
    with pytest.raises(OSError, match=f"^{re.escape(said)}$"):
        tensorboard.TensorBoardLog(tmp_path, "ab")


def test_events_that_the_writer_lost_without_a_word_are_noticed(tmp_path, monkeypatch):
    log = tensorboard.TensorBoardLog(tmp_path, "ab")
    monkeypatch.setattr(log._writer, "as_default", contextlib.nullcontext)
    with pytest.raises(OSError, match="the file does not grow, the disk may be full"):
        log.log_text({"seed": 1})
