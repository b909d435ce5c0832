"""A run that was stopped and resumed equals one that was not."""

import dataclasses
import errno
import fcntl
import io
import os
import platform
import signal
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drw_tf import finished_run, run_log, session
from drw_tf.data import dataset as records
from drw_tf.data import registry
from drw_tf.methods import supervised
from drw_tf.ops import summary
from drw_tf.report import record_file
from drw_tf.serving import folders
from drw_tf.training import checkpoint, loop
from tests import ended_runs, event_values

pytestmark = pytest.mark.usefixtures("small_data")


load = registry.load

REWEIGHTED = ("--method=drw", "--reweight_start=0.5")


def by_method(value):
    """How pytest names a test's arguments: by the method; a number by itself."""
    return value[0].removeprefix("--method=") if isinstance(value, tuple) else None


def train(config):
    return session.train(config, ["test"])


def test_record_history_and_checkpoint_are_there(uncut):
    folder, result = uncut(*REWEIGHTED)
    assert record_file.read_record(folder / "record.json") == result
    assert [entry["step"] for entry in result["history"]] == [10, 20]
    assert result["history"][0]["unlabeled_weights"] == [1, 1, 1, 1]
    assert len(result["history"][-1]["pseudo_numbers"]) == 4
    assert len(result["history"][-1]["pseudo_recall"]) == 4
    assert result["dataset"]["labeled_counts"] == [10, 5, 3, 2]


@pytest.mark.parametrize(
    ("arguments", "stop_at", "number"),
    [
        (REWEIGHTED, 3, signal.SIGTERM),
        pytest.param(REWEIGHTED, 10, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(REWEIGHTED, 14, signal.SIGINT, marks=pytest.mark.slow),
        (("--method=drw_darp", "--reweight_start=0.5"), 14, signal.SIGTERM),
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


@pytest.mark.parametrize(
    ("arguments", "epoch"),
    [
        (("--method=drw_la",), 1),
        (("--method=drw_la",), 2),
        *(
            pytest.param(
                ("--method=fixmatch_crest_plus", "--crest_generations=2"),
                epoch,
                marks=pytest.mark.slow,
            )
            for epoch in (1, 2)
        ),
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


@pytest.mark.parametrize(
    "arguments",
    [
        REWEIGHTED,
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


def test_flags_that_the_data_refused_do_not_stand_in_the_way(resolve, monkeypatch, quarters):
    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", load)
        with pytest.raises(ValueError, match=r"class 0 must have.*Lower --labeled_max"):
            train(resolve("--method=supervised", "--labeled_max=1000"))
    assert train(resolve("--method=supervised", "--labeled_max=30"))["steps"] == 20
    with pytest.raises(ValueError, match=r"--labeled_max: was 30, now 40"):
        train(resolve("--method=supervised"))


def test_fresh_moves_the_earlier_run_aside(resolve, tmp_path):
    train(resolve("--method=supervised"))
    result = train(resolve("--method=supervised", "--seed=1", "--fresh"))
    assert result["configuration"]["seed"] == 1
    (aside,) = (tmp_path / "run").glob("before_*")
    assert record_file.read_record(aside / "record.json")["configuration"]["seed"] == 0


def test_fresh_leaves_what_is_not_of_a_run_and_waits_for_the_data(resolve, tmp_path, monkeypatch):
    kept = train(resolve("--method=supervised"))
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "other_run" / "checkpoints").mkdir(parents=True)

    def missing(config):
        raise FileNotFoundError("no such folder")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", missing)
        with pytest.raises(FileNotFoundError):
            train(resolve("--method=supervised", "--seed=1", "--fresh"))
    assert train(resolve("--method=supervised")) == kept
    train(resolve("--method=supervised", "--seed=1", "--fresh"))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "run" / "other_run" / "checkpoints").is_dir()


def test_an_earlier_end_than_the_step_within_an_epoch_is_refused(resolve, stopped_at):
    with stopped_at(13):
        train(resolve("--method=supervised"))
    said = "--stop_at_step must be above step 13, at which the newest checkpoint is, got 10."
    with pytest.raises(session.USER_ERRORS, match=said):
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


def test_progress_that_nobody_can_read_stops_nothing(resolve, monkeypatch):
    class Gone(io.StringIO):
        tried = 0

        def write(self, text):
            Gone.tried += 1
            raise BrokenPipeError(errno.EPIPE, "nobody reads")

    monkeypatch.setattr(sys, "stderr", Gone())
    assert train(resolve("--method=supervised"))["steps"] == 20
    assert Gone.tried


def test_what_was_measured_is_kept_where_an_export_fails(resolve, tmp_path, monkeypatch):
    def fails(*_):
        raise folders.ExportError("logits differ")

    words = ("--method=supervised", "--export=true")
    monkeypatch.setattr(session.run_export, "export_run", fails)
    with pytest.raises(session.USER_ERRORS, match="logits differ"):
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method=mixmatch", "--pool=unlabeled"], r"unlabeled stream has no pictures; give unl"),
        (["--method=mixmatch", "--jit_compile=on"], r"--jit_compile must be auto or off for meth"),
    ],
)
def test_what_the_step_cannot_do_is_refused_before_it(
    resolve, tmp_path, monkeypatch, quarters, words, message
):
    dataset, split = quarters
    none = records.Split(split.labeled, split.unlabeled[:0], split.validation)
    monkeypatch.setattr(registry, "load", lambda config: (dataset, none))
    with pytest.raises(session.USER_ERRORS, match=message):
        train(resolve(*words))


def test_memory_that_ran_out_is_one_line_with_a_way_out(resolve, monkeypatch):
    def full(self, *args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nat step")

    monkeypatch.setattr(supervised.Supervised, "fit", full)
    with pytest.raises(session.USER_ERRORS, match=r"OOM when .* smaller --batch_size than 8, or"):
        train(resolve("--method=supervised"))


def test_second_process_is_refused_with_the_first_ones_pid(resolve, tmp_path):
    held = session.workdir.Workdir(tmp_path / "run")
    holder = f"in use by process {os.getpid()} on {platform.node()};"
    with pytest.raises(session.workdir.WorkdirError, match=holder):
        train(resolve("--method=drw"))
    held.release()


def test_a_lock_that_nobody_holds_is_stale_whatever_stands_in_it(tmp_path):
    (tmp_path / "lock").write_text(f"{os.getpid()} on another machine, longer than ours")
    held = session.workdir.Workdir(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()} on {platform.node()}"
    held.release()


def test_a_folder_that_cannot_be_locked_is_named(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(session.workdir.WorkdirError, match="cannot be locked: No locks available"):
        session.workdir.Workdir(tmp_path)


def test_the_best_of_the_saved_evaluations_is_kept(resolve, tmp_path, monkeypatch):
    # Best between two checkpoints, then at the first one of them.
    scores = dict(zip(range(5, 45, 5), [0.1, 0.3, 0.9, 0.2, 0.1, 0.1, 0.1, 0.1], strict=True))
    monkeypatch.setattr(loop, "_score", lambda entry: scores[entry["step"]])
    words = ("--steps=40", "--steps_per_epoch=5", "--checkpoint_steps=10", "--keep_checkpoints=2")
    train(resolve("--method=supervised", *words))
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step_000000010", "step_000000030", "step_000000040"]


def test_only_the_newest_entry_keeps_long_lists(resolve, monkeypatch):
    monkeypatch.setattr(loop, "_LONGEST_LIST", 3)
    first, last = train(resolve("--method=drw"))["history"]
    for name in ("pseudo_numbers", "unlabeled_weights"):
        assert len(last[name]) == 4
        assert name not in first
    assert "recall" not in first["test"]["ema"]
    assert len(last["test"]["ema"]["recall"]) == 4
    assert first["test"]["ema"]["balanced_accuracy"] > 0


def test_without_test_pictures_it_trains_and_scores_nothing(
    resolve, tmp_path, monkeypatch, quarters
):
    dataset, split = quarters
    labels = dataset.train.labels.copy()
    labels[split.unlabeled] = records.UNKNOWN_LABEL
    train_images = dataclasses.replace(dataset.train, labels=labels)
    own = dataclasses.replace(dataset, train=train_images, test=None)
    monkeypatch.setattr(registry, "load", lambda config: (own, split))
    config = resolve("--method=drw", "--tensorboard=true", "--export=true", "--keep_checkpoints=1")
    result = train(config)
    # No one is the best.
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert kept == ["step_000000020"]
    assert result["final"] == {}
    assert result["dataset"]["test_counts"] is None
    assert result["dataset"]["unlabeled_counts"] is None
    assert len(result["history"]) == 2
    # Nobody knows how right pseudo-labels are, but how many were confident is known.
    assert "pseudo_recall" not in result["history"][0]
    assert len(result["history"][0]["confident_rate"]) == 4
    assert (tmp_path / "run" / "export" / "saved_model.pb").exists()
    assert "written:" in session.summary(config, result)


def test_held_out_pictures_are_evaluated_beside_the_test_set(
    resolve, tmp_path, monkeypatch, quarters
):
    dataset, split = quarters
    held_out = split.unlabeled[::6]
    rest = np.setdiff1d(split.unlabeled, held_out)
    cut = records.Split(split.labeled, rest, held_out)
    monkeypatch.setattr(registry, "load", lambda config: (dataset, cut))
    config = resolve("--method=fixmatch", "--steps=10", "--tensorboard=true")
    result = train(config)
    run, _ = finished_run.open_run(config.workdir)
    logits = run.logits(records.take(dataset.train, held_out))
    expected = summary.summarize(dataset.train.labels[held_out], logits, [10, 5, 3, 2])
    (entry,) = result["history"]
    got = entry["validation"]["ema"]
    assert got.keys() == {name for name, value in expected.items() if isinstance(value, float)}
    for name, value in got.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)
    assert len(entry["test"]["ema"]["recall"]) == 4
    logged = event_values.read(tmp_path / "run" / "tensorboard")
    tag = ("validation_ema/balanced_accuracy", 10)
    assert logged[tag] == pytest.approx(expected["balanced_accuracy"])


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_file_that_becomes_unreadable_while_training_is_named(
    resolve, tmp_path, monkeypatch, damage
):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    for number, picture in enumerate(pixels):
        path = tmp_path / "pictures" / f"class_{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    words = (f"--labeled_dir={path.parents[1]}", f"--unlabeled_dir={path.parents[1]}")
    words += ("--dataset=folder", "--image_size=8", "--in_memory_gigabytes=0", "--batch_size=2")
    config = resolve(*words, "--model=wide_resnet_10_1")

    def looked_at(given):
        found = load(given)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:200])
        else:
            path.unlink()
        return found

    monkeypatch.setattr(registry, "load", looked_at)
    with pytest.raises(
        session.USER_ERRORS, match=rf"^{path}: .*its header could be read"
    ) as caught:
        train(config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "record.json").exists()


def test_pictures_that_can_be_read_again_are_no_fault_of_theirs(tmp_path):
    paths = np.array([str(tmp_path / f"{number}.png") for number in range(2)], object)
    for path in paths:
        Image.new("RGB", (4, 4)).save(path)
    images = records.FileImages(paths, np.array([0, 1]))
    dataset = records.Dataset("folder", ("a", "b"), (4, 4, 3), images, None, True, None, None)

    def fails(kind):
        with session.naming_damage(dataset):
            raise kind(None, None, "stale file handle [Op:IteratorGetNext]")

    with pytest.raises(session.DiskCameBack, match=r"stale file handle .*though all can be now"):
        fails(tf.errors.UnknownError)
    # Nothing that a disk does: a fault of the code.
    with pytest.raises(tf.errors.InvalidArgumentError):
        fails(tf.errors.InvalidArgumentError)
    (tmp_path / "1.png").unlink()
    with pytest.raises(session.configuration.ConfigError, match=r"1\.png: No such file"):
        fails(tf.errors.NotFoundError)


@pytest.mark.parametrize("text", ["{", "[]", '{"of": "another program"}'])
def test_a_configuration_that_is_none_is_named_and_kept(resolve, tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a run"):
        train(resolve("--method=drw"))
    assert (tmp_path / "run" / "config.json").read_text() == text


def test_a_run_does_not_go_on_with_other_data(resolve, tmp_path, monkeypatch, quarters):
    train(resolve("--method=supervised", "--stop_at_step=10"))
    dataset, split = quarters
    renamed = dataclasses.replace(dataset, class_names=("a", "b", "d", "c"))
    monkeypatch.setattr(registry, "load", lambda config: (renamed, split))
    said = r"holds a run on other data: class 2 was 'c', now 'd'; bring"
    with pytest.raises(ValueError, match=said):
        train(resolve("--method=supervised"))
    with pytest.raises(ValueError, match=r"holds a run on other classes: class 2 was 'c', now 'd'"):
        finished_run.open_run(tmp_path / "run")
    fewer = records.Split(split.labeled, split.unlabeled[1:], split.validation)
    monkeypatch.setattr(registry, "load", lambda config: (dataset, fewer))
    with pytest.raises(ValueError, match="on other data: other pictures are labeled"):
        train(resolve("--method=supervised"))
    # What is judged or exported may have other unlabeled pictures by now.
    finished_run.open_run(tmp_path / "run")
    monkeypatch.setattr(registry, "load", lambda config: (dataset, split))
    assert train(resolve("--method=supervised"))["steps"] == 20


def test_a_finished_run_of_own_pictures_is_none_of_others(resolve, tmp_path, monkeypatch, quarters):
    monkeypatch.setattr(session.groups, "is_of_own_pictures", lambda config: True)
    kept = train(resolve("--method=supervised", "--steps=10"))
    dataset, split = quarters
    assert train(resolve("--method=supervised", "--steps=10")) == kept
    other = dataclasses.replace(dataset, class_names=("a", "b", "c", "bird"))
    monkeypatch.setattr(registry, "load", lambda config: (other, split))
    with pytest.raises(ValueError, match=r"holds a run on other data: class 3 was 'd', now 'bird'"):
        train(resolve("--method=supervised", "--steps=10"))

    def missing(config):
        raise FileNotFoundError("no such folder")

    monkeypatch.setattr(registry, "load", missing)
    with pytest.raises(FileNotFoundError):
        train(resolve("--method=supervised", "--steps=10"))
    assert record_file.read_record(tmp_path / "run" / "record.json") == kept


def test_a_damaged_file_of_data_or_code_is_named_and_none_is_of_an_older_version(resolve, tmp_path):
    train(resolve("--method=supervised", "--stop_at_step=10"))
    for name in ("data.json", "made_by.json"):
        path = tmp_path / "run" / name
        for text in ("{", "[1]"):
            path.write_text(text)
            with pytest.raises(session.configuration.ConfigError, match=rf"run/{name} "):
                train(resolve("--method=supervised"))
        path.unlink()
    assert train(resolve("--method=supervised"))["steps"] == 20
    assert (tmp_path / "run" / "data.json").exists()


def test_a_fault_in_a_methods_code_keeps_its_traceback(resolve, monkeypatch):
    def loss_terms(self, batch, prepared):
        raise ValueError("shapes differ")

    monkeypatch.setattr(supervised.Supervised, "loss_terms", loss_terms)
    with pytest.raises(RuntimeError, match="a training step failed") as caught:
        train(resolve("--method=supervised"))
    assert not isinstance(caught.value, session.USER_ERRORS)
    assert "shapes differ" in str(caught.value.__cause__)
