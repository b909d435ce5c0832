"""From the command line to a served model, each step a process of its own."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.data import digits

ROOT = pathlib.Path(__file__).parents[2]


def run(*words, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT, **kwargs
    )


TRAIN = (
    *("drw_tf.train", "--dataset=digits", "--method=drw_la", "--steps=100"),
    *("--reweight_start=0.5", "--checkpoint_steps=10"),
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a run of 100 steps on digits that was killed, and its newest checkpoint."""
    folder = tmp_path_factory.mktemp("smoke") / "run"
    words = [sys.executable, "-m", *TRAIN, f"--workdir={folder}"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE)
    checkpoints = folder / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step_*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (folder / "record.json").exists()
    return folder, max(int(path.name[5:]) for path in checkpoints.glob("step_*"))


@pytest.fixture(scope="module")
def trained(killed):
    """The folder of that run after the same command, and what it printed."""
    folder, _ = killed
    return folder, run(*TRAIN, f"--workdir={folder}", check=True)


def test_killed_process_goes_on_with_the_same_command(killed, trained):
    (folder, kept), (_, done) = killed, trained
    assert f"{kept}/100" in done.stderr  # the bar begins where the checkpoint is
    record = json.loads((folder / "record.json").read_text())
    assert [entry["step"] for entry in record["history"]] == [50, 100]


def test_training_says_what_came_out_and_where_it_lies(trained):
    folder, done = trained
    record = json.loads((folder / "record.json").read_text())
    accuracy = record["final"]["ema"]["balanced_accuracy"]["last"]
    assert f"bACC {100 * accuracy:.1f} %" in done.stdout
    for name in ("record.json", "checkpoints", "tensorboard", "export"):
        assert str(folder / name) in done.stdout
        assert (folder / name).exists()
    # floor(40 * 20 ** (-c / 9)) and floor(80 * 20 ** (-c / 9)).
    said, _, rest = done.stderr.partition("\n")
    assert said.startswith("data: 10 classes: 0 40, 1 28, 2 20, ")
    assert re.search(r", 9 2 labeled; 269 unlabeled; \d+ test$", said)
    assert re.match(
        r"devices: 1 CPU, \d+ labeled \+ \d+ unlabeled pictures a step; float32; XLA", rest
    )
    assert "100/100" in rest  # the bar
    assert "Traceback" not in done.stderr
    assert "cuda" not in done.stderr.lower()


@pytest.mark.slow
def test_the_same_command_again_has_nothing_to_do(trained):
    folder, _ = trained
    before = (folder / "record.json").stat().st_mtime_ns
    done = run(*TRAIN, f"--workdir={folder}", check=True)
    assert (folder / "record.json").stat().st_mtime_ns == before
    assert "bACC" in done.stdout


@pytest.mark.slow
def test_evaluate_prints_the_records_numbers(trained):
    folder, _ = trained
    record = json.loads((folder / "record.json").read_text())
    printed = run("drw_tf.evaluate", f"--workdir={folder}", check=True).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("balanced accuracy")]
    shown = [float(value) for value in re.findall(r"\d+\.\d", line)]
    expected = [
        100 * record["final"][name]["balanced_accuracy"]["last"]
        for name in ("ema", "ema_unadjusted", "raw")
    ]
    np.testing.assert_allclose(shown, expected, atol=0.051)


def test_exported_model_scores_what_the_record_says(trained):
    folder, _ = trained
    record = json.loads((folder / "record.json").read_text())
    test = digits.load().test
    served = tf.saved_model.load(str(folder / "export")).signatures["serving_default"]
    label = served(images=tf.constant(test.pixels))["label"].numpy()
    got = np.mean(label == test.labels)
    # Training exports the network without its adjustment.
    expected = record["final"]["ema_unadjusted"]["accuracy"]["last"]
    assert got == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            pytest.param(*words_and_message, marks=pytest.mark.slow)
            for words_and_message in (
                (["--dataset=cifar10", "--data_dir={tmp}"], "cifar10 is not prepared in"),
                (["--dataset=folder", "--labeled_dir={tmp}/none"], "/none is not a folder"),
                (["--dataset=imagenet127", "--data_dir={tmp}"], "must hold train/<wnid>"),
                (["--workdir=/proc/nowhere"], "/proc/nowhere cannot be written"),
                (["--labeled_max=4000"], "Lower --labeled_max"),
            )
        ),
        (["--imbalance_ratio=50"], "the smallest class would be empty"),  # 40 / 50
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, arguments, message):
    arguments = [one.format(tmp=tmp_path) for one in arguments]
    if not any(one.startswith("--workdir") for one in arguments):
        arguments.append(f"--workdir={tmp_path / 'run'}")
    done = run("drw_tf.train", *arguments, check=False, env={**os.environ, "PYTHONWARNINGS": ""})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
    assert message in done.stderr
