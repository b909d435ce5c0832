"""A run that was stopped and resumed equals one that was not."""

import itertools
import json
import os
import signal
import types

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import faults, finished_run, run_log, session
from drw_tf.models import network, registry
from drw_tf.report import record_file
from drw_tf.serving import folders
from drw_tf.training import checkpoint, loop
from tests import ended_runs, event_values

pytestmark = pytest.mark.usefixtures("small_data")

REWEIGHTED = ("--method=drw", "--reweight_start=0.5", "--pseudo_smoothing=0.5")
DARP = ("--method=drw_darp", "--reweight_start=0.5")


def by_method(value):
    """How pytest names a test's arguments: by the method; a number by itself."""
    return value[0].removeprefix("--method=") if isinstance(value, tuple) else None


def train(config):
    return session.train(config, ["test"])


@pytest.mark.parametrize(
    ("arguments", "stop_at", "number"),
    [
        (REWEIGHTED, 3, signal.SIGTERM),
        pytest.param(REWEIGHTED, 10, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(REWEIGHTED, 14, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(
            ("--method=drw_darp", "--reweight_start=0.5"),
            14,
            signal.SIGTERM,
            marks=pytest.mark.slow,
        ),
        pytest.param(("--method=remixmatch",), 14, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(("--method=vat",), 3, signal.SIGINT, marks=pytest.mark.slow),
    ],
    ids=by_method,
)
def test_resumed_run_is_bit_for_bit_the_same(
    resolve, uncut, stopped_at, tmp_path, arguments, stop_at, number
):
    folder, _ = uncut(*arguments)
    config = resolve(*arguments, "--deterministic", f"--workdir={tmp_path / 'cut'}")
    with stopped_at(stop_at, number):
        train(config)
    assert not (tmp_path / "cut" / "record.json").exists()
    train(config)
    ended_runs.assert_same(folder, tmp_path / "cut")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_the_run_goes_on_from_the_last_checkpoint(
    resolve, uncut, tmp_path, monkeypatch
):
    folder, _ = uncut(*REWEIGHTED)
    config = resolve(*REWEIGHTED, "--deterministic", f"--workdir={tmp_path / 'cut'}")
    ended = loop._Runner.on_train_batch_end

    def twice(self, batch, logs=None):
        if int(self.method.optimizer.iterations.numpy()) == 13:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
        ended(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "on_train_batch_end", twice)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    kept = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").iterdir())
    assert kept[-1] == "step_000000010"
    train(config)
    ended_runs.assert_same(folder, tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "epoch"),
    [
        (arguments, epoch)
        for arguments in (
            ("--method=drw_la",),
            ("--method=fixmatch_crest_plus", "--crest_generations=2"),
        )
        for epoch in (1, 2)
    ],
    ids=by_method,
)
def test_an_evaluation_is_left_when_a_stop_is_asked_for(
    resolve, uncut, tmp_path, monkeypatch, arguments, epoch
):
    # The second batch of an evaluation is never judged; the second epoch is the run's last.
    arguments += ("--eval_batch_size=10", "--tensorboard=true")
    folder, _ = uncut(*arguments)
    config = resolve(*arguments, "--deterministic", f"--workdir={tmp_path / 'cut'}")
    leave, asked = loop._Runner._leave_evaluation, []

    def interrupt(self):
        asked.append(self.step)
        if asked.count(10 * epoch) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        leave(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "_leave_evaluation", interrupt)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            train(config)
    assert asked.count(10 * epoch) == 2
    train(config)
    ended_runs.assert_same(folder, tmp_path / "cut")
    curves = [event_values.read(one / "tensorboard") for one in (folder, tmp_path / "cut")]
    assert ("test_ema/balanced_accuracy", 20) in curves[0]
    assert curves[0].keys() == curves[1].keys()


def test_an_evaluation_that_fails_costs_no_training(resolve, uncut, tmp_path, monkeypatch):
    folder, _ = uncut(*REWEIGHTED)
    words = (*REWEIGHTED, "--checkpoint_steps=20", f"--workdir={tmp_path / 'cut'}")
    config = resolve(*words, "--deterministic")

    def fail(self):
        raise tf.errors.DataLossError(None, None, "no picture")

    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "_leave_evaluation", fail)
        with pytest.raises(tf.errors.DataLossError, match="no picture"):
            train(config)
    kept = [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()]
    assert kept == ["step_000000010"]
    train(config)
    ended_runs.assert_same(folder, tmp_path / "cut")


@pytest.mark.slow
def test_an_evaluation_that_is_made_anew_stands_once_in_the_curves(resolve, tmp_path, monkeypatch):
    # It is told before anything is saved, and then the process is killed.
    words = ("--method=supervised", "--tensorboard=true", "--checkpoint_steps=20")
    words += ("--eval_batch_size=10",)
    leave = loop._Runner._leave_evaluation

    def interrupt(self):
        os.kill(os.getpid(), signal.SIGTERM)
        leave(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "_leave_evaluation", interrupt)
        with pytest.raises(loop.Stopped):
            train(resolve(*words))

    class Killed(Exception):
        pass

    def killed(self, batch, logs=None):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "on_train_batch_end", killed)
        with pytest.raises(Killed):
            train(resolve(*words))
    train(resolve(*words))
    for step in (10, 20):
        tag = "test_ema/balanced_accuracy"
        assert event_values.times_written(tmp_path / "run" / "tensorboard", tag, step) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        REWEIGHTED,
        # Three quarters of the steps up to the early end would be over by then.
        pytest.param(("--method=drw", "--reweight_start=0.75"), marks=pytest.mark.slow),
        pytest.param(("--method=crt", "--crt_head_fraction=0.5"), marks=pytest.mark.slow),
    ],
    ids=by_method,
)
def test_a_run_that_ends_early_goes_on_to_the_same_end(resolve, uncut, tmp_path, arguments):
    # That of cRT ends where its first stage does.
    folder, _ = uncut(*arguments)
    arguments += ("--deterministic", f"--workdir={tmp_path / 'cut'}")
    first = train(resolve(*arguments, "--stop_at_step=10"))
    assert (first["steps"], len(first["history"])) == (10, 1)
    assert train(resolve(*arguments, "--stop_at_step=10")) == first
    with pytest.raises(ValueError, match="--steps: was 20, now 30"):
        train(resolve(*arguments, "--steps=30"))
    last = train(resolve(*arguments))
    assert train(resolve(*arguments, "--stop_at_step=20")) == last
    ended_runs.assert_same(folder, tmp_path / "cut")


def test_seconds_of_a_run_that_goes_on_add_up(resolve, tmp_path, monkeypatch):
    def train_at(seconds, *words):
        """From one look at the clock to the next so many seconds pass."""
        clock = types.SimpleNamespace(perf_counter=itertools.count(0, seconds).__next__)
        monkeypatch.setattr(loop, "time", clock)
        return train(resolve("--method=supervised", *words))

    first = train_at(1000, "--stop_at_step=10")
    state = tmp_path / "run" / "checkpoints" / "step_000000010" / "state.json"
    before = json.loads(state.read_text())["seconds"]
    assert before >= first["seconds"] >= 1000
    last = train_at(1)
    assert before < last["seconds"] < before + 100
    # Eight pictures a step.
    assert last["images_per_second"] == pytest.approx(160 / last["seconds"], rel=1e-4)


def test_calls_that_end_between_multiples_of_checkpoint_steps_save_after_them(
    resolve, stopped_at, monkeypatch
):
    with stopped_at(3):
        train(resolve("--method=supervised"))
    saved, save = [], checkpoint.Checkpoints.save

    def noted(self, step, *rest):
        saved.append(step)
        save(self, step, *rest)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", noted)
    train(resolve("--method=supervised", "--steps_per_execution=5"))
    assert saved == [8, 10, 15, 20]


def test_an_earlier_end_than_the_step_within_an_epoch_is_refused(resolve, stopped_at):
    with stopped_at(13):
        train(resolve("--method=supervised"))
    said = "--stop_at_step must be above step 13, at which the newest checkpoint is, got 10."
    with pytest.raises(faults.USER_ERRORS, match=said):
        train(resolve("--method=supervised", "--stop_at_step=10"))
    assert train(resolve("--method=supervised"))["steps"] == 20


def test_a_stop_while_the_last_checkpoint_is_written_is_heard(resolve, tmp_path, monkeypatch):
    save = checkpoint.Checkpoints.save

    def stopped(self, step, *rest):
        if step == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        save(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", stopped)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            train(resolve("--method=supervised"))
    assert not (tmp_path / "run" / "record.json").exists()
    assert train(resolve("--method=supervised"))["steps"] == 20


def test_a_log_that_cannot_be_written_costs_no_training(resolve, tmp_path, monkeypatch):
    def write(self, entry):
        raise OSError("TensorBoard's events could not be written")

    words = ("--method=supervised", "--tensorboard=true", "--checkpoint_steps=20")
    with monkeypatch.context() as patch:
        patch.setattr(run_log.RunLog, "write", write)
        with pytest.raises(OSError, match="events could not be written"):
            train(resolve(*words))
    assert (tmp_path / "run" / "checkpoints" / "step_000000010").is_dir()
    assert train(resolve(*words))["steps"] == 20
    logged = event_values.read(tmp_path / "run" / "tensorboard")
    steps = {step for tag, step in logged if tag == "test_ema/balanced_accuracy"}
    assert steps == {10, 20}


def test_what_was_measured_is_kept_where_an_export_fails(resolve, tmp_path, monkeypatch):
    def fails(*_):
        raise folders.ExportError("logits differ")

    words = ("--method=supervised", "--export=true")
    monkeypatch.setattr(session.run_export, "export_run", fails)
    with pytest.raises(faults.USER_ERRORS, match="logits differ"):
        train(resolve(*words))
    kept = record_file.read_record(tmp_path / "run" / "record.json")
    assert kept["steps"] == 20
    assert not kept["configuration"]["export"]
    exported = []
    monkeypatch.setattr(session.run_export, "export_run", lambda run, *_: exported.append(run))
    result = train(resolve(*words))
    assert len(exported) == 1
    assert result["configuration"]["export"]
    assert result["history"] == kept["history"]


@pytest.mark.slow
def test_an_export_that_the_run_went_on_without_is_made_anew(resolve, tmp_path, monkeypatch):
    def train_with(commit, *words):
        code = {"versions": {"python": "3"}, "git": {"commit": commit, "dirty": False}}
        monkeypatch.setattr(session.environment, "code", lambda: code)
        return train(resolve(*words))

    words = ("--method=supervised", "--export=true")
    result = train_with("a", *words, "--stop_at_step=10")
    assert result["git"]["commit"] == "a"
    assert "made_by" not in result
    card = tmp_path / "run" / "export" / "MODEL_CARD.md"
    assert "after step 10:" in card.read_text()
    result = train_with("b", "--method=supervised")
    assert not session.summary(resolve("--method=supervised"), result).endswith("/export")
    result = train_with("c", *words)
    assert "after step 20:" in card.read_text()
    # The last command trained nothing.
    assert result["git"]["commit"] == "b"
    parts = [(part["from_step"], part["git"]["commit"]) for part in result["made_by"]]
    assert parts == [(0, "a"), (10, "b")]


@pytest.mark.slow
def test_a_run_that_goes_on_with_other_replicas_says_so(resolve, two_replicas, monkeypatch, caplog):
    def train_on(strategy, *words):
        monkeypatch.setattr(session.devices, "strategy", lambda kind: strategy)
        caplog.clear()
        result = train(resolve("--method=supervised", *words))
        return result, "the run had" in caplog.text

    one = tf.distribute.OneDeviceStrategy("CPU:0")
    result, is_told = train_on(two_replicas, "--stop_at_step=10")
    assert ("made_by" in result, is_told) == (False, False)
    result, is_told = train_on(one)
    assert is_told
    assert "the run had 2 replicas and goes on with 1 replica: its result differs" in caplog.text
    assert [(part["from_step"], part["replicas"]) for part in result["made_by"]] == [
        (0, 2),
        (10, 1),
    ]
    assert not train_on(one)[1]  # done


@pytest.mark.slow
def test_a_file_of_starting_weights_is_read_once(resolve, tmp_path):
    file = tmp_path / "start.h5"
    start = registry.build_backbone(
        "small_resnet",
        (8, 8, 1),
        batch_norm=network.BatchNorm(0.9, 1e-5),
        normalization=((0.25,), (0.25,)),
        init_weights="none",
    )
    start.set_weights([np.full(one.shape, 0.01, one.dtype) for one in start.get_weights()])
    start.save_weights(str(file))
    words = ("--method=supervised", f"--init_weights={file}", "--learning_rate=1e-9")
    train(resolve(*words, "--stop_at_step=10"))
    file.unlink()
    assert train(resolve(*words))["steps"] == 20
    run, _ = finished_run.open_run(tmp_path / "run")
    kernels = [one for one in run.method.network.trainable_variables if one.shape.rank == 4]
    for kernel in kernels:
        np.testing.assert_allclose(kernel, 0.01, rtol=1e-3)
    with pytest.raises(ValueError, match=r"--init_weights must name a file, there is no"):
        train(resolve(*words, "--fresh"))
