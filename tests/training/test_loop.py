"""Training to its end: what is measured, kept and said, and what stops it."""

import dataclasses
import errno
import io
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drw_tf import config as configuration
from drw_tf import faults, finished_run, run_log, session
from drw_tf.data import data_service, pipeline, registry
from drw_tf.data import dataset as records
from drw_tf.methods import supervised
from drw_tf.ops import summary
from drw_tf.report import record_file
from drw_tf.training import checkpoint, loop, workdir
from tests import event_values, small_export
from tests import records as run_records

pytestmark = pytest.mark.usefixtures("small_data")


load = registry.load

REWEIGHTED = ("--method=drw", "--reweight_start=0.5", "--pseudo_smoothing=0.5")


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
    # Dynamic weights begin with the end of the epoch at step 10, half of the run, and are the
    # inverse of the effective numbers of its pseudo-labels (R^l is 5: beta is .999); mean 1.
    # It is the first epoch, so there is nothing yet to smooth them with.
    numbers = np.array(result["history"][0]["pseudo_numbers"])
    inverse = (1 - 0.999) / (1 - 0.999**numbers)
    weights = result["history"][1]["unlabeled_weights"]
    np.testing.assert_allclose(weights, 4 * inverse / inverse.sum(), rtol=1e-5)
    assert np.ptp(weights) > 0.1


def test_progress_that_nobody_can_read_stops_nothing(resolve, monkeypatch):
    class Gone(io.StringIO):
        tried = 0

        def write(self, text):
            Gone.tried += 1
            raise BrokenPipeError(errno.EPIPE, "nobody reads")

    monkeypatch.setattr(sys, "stderr", Gone())
    assert train(resolve("--method=supervised"))["steps"] == 20
    assert Gone.tried


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
    monkeypatch.setattr(registry, "load", lambda config, **_: (dataset, none))
    with pytest.raises(faults.USER_ERRORS, match=message):
        train(resolve(*words))


def test_files_are_compared_and_decoded_at_once_for_training_alone(resolve, monkeypatch, quarters):
    asked = []

    def looked(config, find_copies=False, at_once=True):
        asked.append((find_copies, at_once))
        return quarters

    monkeypatch.setattr(registry, "load", looked)
    monkeypatch.setattr(session.groups, "is_of_own_pictures", lambda config: True)
    config = resolve("--method=supervised", "--steps=10")
    train(config)
    assert asked == [(True, True)]
    train(config)
    finished_run.open_run(config.workdir)
    assert asked == [(True, True), (False, False), (False, False)]


def test_memory_that_ran_out_is_one_line_with_a_way_out(resolve, monkeypatch):
    def full(self, *args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nat step")

    monkeypatch.setattr(supervised.Supervised, "fit", full)
    said = r"OOM when .* a smaller --batch_size than 8, or a smaller --eval_batch_size than 500\.$"
    with pytest.raises(faults.USER_ERRORS, match=said):
        train(resolve("--method=supervised"))


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        ("Out of memory while trying to allocate 17179869184 bytes.", True),  # XLA
        ("RESOURCE_EXHAUSTED: out of memory", True),
        ("failed to allocate memory [Op:Cast]", True),
        ("OOM when allocating tensor with shape[8,64,32,32]", True),
        ("runs/oom/out of memory/events; No space left on device", False),
        ("the bedroom's queue is full", False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_things_that_ran_out(resolve, text, is_memory):
    error = tf.errors.ResourceExhaustedError(None, None, text)
    expected = configuration.ConfigError if is_memory else type(error)
    with pytest.raises(expected), faults.naming_memory(resolve(), "batch_size"):
        raise error


def test_the_best_of_the_saved_evaluations_is_kept(resolve, tmp_path, monkeypatch):
    # Best between two checkpoints, then at the first one of them.
    scores = dict(zip(range(5, 45, 5), [0.1, 0.3, 0.9, 0.2, 0.1, 0.1, 0.1, 0.1], strict=True))
    monkeypatch.setattr(loop, "_score", lambda entry: scores[entry["step"]])
    words = ("--steps=40", "--steps_per_epoch=5", "--checkpoint_steps=10", "--keep_checkpoints=2")
    train(resolve("--method=supervised", *words))
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step_000000010", "step_000000030", "step_000000040"]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_the_best_saved_one(resolve, monkeypatch):
    scores = {10: 0.3, 20: 0.9, 30: 0.1, 40: 0.1}
    monkeypatch.setattr(loop, "_score", lambda entry: scores[entry["step"]])
    words = ("--method=supervised", "--steps=40")
    train(resolve(*words, "--stop_at_step=20", "--checkpoint_steps=10", "--keep_checkpoints=2"))
    config = resolve(*words, "--checkpoint_steps=15", "--keep_checkpoints=1")
    folder = workdir.Layout(config.workdir).checkpoints / "step_000000020"
    (folder / "state.json").write_text("harmed")
    # Evaluated again at its step, and not saved there again.
    train(config)
    assert checkpoint_steps(config) == [10, 40]


def test_evaluations_are_compared_by_the_averaged_networks_balanced_accuracy():
    ema = {"accuracy": 0.75, "balanced_accuracy": 0.25, "geometric_mean": 0.125}
    other = {"accuracy": 1.0, "balanced_accuracy": 1.0}
    test = {"raw": other, "ema": ema, "ema_unadjusted": other}
    assert loop._score({"test": test, "validation": {"ema": other}}) == 0.25
    assert loop._score({"test": {}, "validation": {"ema": ema}}) == 0
    assert loop._score({"train": {}}) == 0


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
    monkeypatch.setattr(registry, "load", lambda config, **_: (own, split))
    small_export.stand_in(monkeypatch)
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


def test_without_test_pictures_the_end_tells_of_those_held_out(resolve):
    held_out = {
        "ema": run_records.metrics_of(0.75),
        "ema_unadjusted": run_records.metrics_of(0.5),
        "raw": run_records.metrics_of(1.0),
    }
    held_out["ema"]["few"] = None
    history = [{"validation": {"ema": run_records.metrics_of(1.0)}}, {"validation": held_out}]
    result = {"final": {}, "history": history, "dataset": {"class_names": []}}
    lines = session.summary(resolve("--method=drw"), result).splitlines()
    assert lines[:2] == [
        "averaged network, last evaluation on the pictures held out: bACC 75.0 %, accuracy 75.0 %, "
        "GM 75.0 %, Many / Medium / Few 75.0 % / 75.0 % / -",
        "without adjustment, last evaluation on the pictures held out: bACC 50.0 %, accuracy "
        "50.0 %, GM 50.0 %, Many / Medium / Few 50.0 % / 50.0 % / 50.0 %",
    ]
    # Beside test pictures these are to choose by, not to report.
    tested = run_records.record_of(
        resolve("--method=drw"),
        [{"step": 20, "test": {"ema": run_records.metrics_of(0.25)}, **history[1]}],
    )
    lines = session.summary(resolve("--method=drw"), tested).splitlines()
    assert lines[0].startswith("averaged network, last evaluation: bACC 25.0 %, accuracy 25.0 %, ")
    assert lines[1].startswith("written: ")


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (
            ["--export"],
            "logit adjustment: not in the exported model; --export_logit_adjustment puts it there",
        ),
        (["--export", "--export_logit_adjustment"], "logit adjustment: in the exported model"),
        (["--export=false"], None),
    ],
)
def test_the_end_says_whether_the_adjustment_is_exported(resolve, words, end):
    result = {"final": {}, "history": [], "dataset": {"class_names": []}}
    lines = session.summary(resolve("--method=drw_la", *words), result).splitlines()
    assert lines[1:] == ([] if end is None else [end])


def test_a_plain_value_error_is_a_fault_of_the_code_alone():
    with (
        pytest.raises(RuntimeError, match="the evaluation failed") as caught,
        faults.naming_fault("the evaluation"),
    ):
        raise ValueError("shapes (8,2) (9,)")
    assert isinstance(caught.value.__cause__, ValueError)
    with (
        pytest.raises(configuration.ConfigError, match="a flag"),
        faults.naming_fault("the evaluation"),
    ):
        raise configuration.ConfigError("a flag")


def test_held_out_pictures_are_evaluated_beside_the_test_set(
    resolve, tmp_path, monkeypatch, quarters
):
    dataset, split = quarters
    held_out = split.unlabeled[::6]
    rest = np.setdiff1d(split.unlabeled, held_out)
    cut = records.Split(split.labeled, rest, held_out)
    monkeypatch.setattr(registry, "load", lambda config, **_: (dataset, cut))
    config = resolve("--method=supervised", "--steps=10", "--tensorboard=true")
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


@pytest.mark.parametrize("damage", ["cut", pytest.param("gone", marks=pytest.mark.slow)])
def test_a_file_that_becomes_unreadable_while_training_is_named(
    resolve, tmp_path, monkeypatch, damage
):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    for number, picture in enumerate(pixels):
        path = tmp_path / "pictures" / f"class_{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    words = (f"--labeled_dir={path.parents[1]}",)
    words += ("--dataset=folder", "--image_size=8", "--in_memory_gigabytes=0", "--batch_size=2")
    config = resolve(*words, "--model=small_resnet")

    def looked_at(given, **asked):
        found = load(given, **asked)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:200])
        else:
            path.unlink()
        return found

    monkeypatch.setattr(registry, "load", looked_at)
    with pytest.raises(faults.USER_ERRORS, match=rf"^{path}: .*its header could be read") as caught:
        train(config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "record.json").exists()


def test_pictures_that_can_be_read_again_are_no_fault_of_theirs(tmp_path, monkeypatch):
    paths = np.array([str(tmp_path / f"{number}.png") for number in range(2)], object)
    for path in paths:
        Image.new("RGB", (4, 4)).save(path)
    images = records.FileImages(paths, np.array([0, 1]))
    dataset = records.Dataset("folder", ("a", "b"), (4, 4, 3), images, None, True, None, None)

    def fails(kind, text="stale file handle [Op:IteratorGetNext]"):
        with faults.naming_damage(dataset, faults.LEAVE_OUT):
            raise kind(None, None, text)

    with pytest.raises(faults.DiskCameBack, match=r"stale file handle\), though it can be now"):
        fails(tf.errors.UnknownError)
    # As a network disk has it; between workers it would be another one that is gone.
    for kind in (tf.errors.AbortedError, tf.errors.UnavailableError, tf.errors.InternalError):
        with pytest.raises(faults.DiskCameBack):
            fails(kind, "0.png; Stale file handle [[{{node ReadFile}}]] [Op:IteratorGetNext]")
        for text in ("Collective ReadFile [Op:IteratorGetNext]", "gone [Op:IteratorGetNext]"):
            with pytest.raises(kind):
                fails(kind, text)

    # Of a disk that stays away no picture is at fault.
    def away(paths):
        raise OSError(errno.ESTALE, "Stale file handle", paths[0])

    with monkeypatch.context() as patch:
        patch.setattr(faults.image_scan, "first_damaged", away)
        said = rf"^{paths[0]}: Stale file handle; when the disk is back, give the same command"
        with pytest.raises(configuration.ConfigError, match=said):
            fails(tf.errors.UnknownError)
    # Nothing that a disk does: a fault of the code.
    with pytest.raises(tf.errors.InvalidArgumentError):
        fails(tf.errors.InvalidArgumentError)
    (tmp_path / "1.png").unlink()
    with pytest.raises(configuration.ConfigError, match=r"1\.png: No such .* --decode_all --on_b"):
        fails(tf.errors.NotFoundError)


ADDRESS = "grpc://127.0.0.1:5050"
# As TensorFlow lays it out; where a fault is seen is not what it is.
AT_INPUT = """Graph execution error:

Detected at node IteratorGetNext defined at (most recent call last):
  File "/home/collective_all_reduce_strategy.py", line 198, in fit

{}
\t [[{{{{node IteratorGetNext}}}}]] [Op:__inference_train_function_2867]"""


@pytest.mark.parametrize(
    ("text", "address", "is_lost"),
    [
        (AT_INPUT.format("failed to connect to all addresses"), ADDRESS, True),
        (AT_INPUT.format("failed to connect to all addresses"), None, False),
        # What ended another worker, as this one hears of it.
        (AT_INPUT.format("Collective ops is aborted by: no answer"), ADDRESS, False),
        ("Socket closed [[{{node CollectiveReduceV2}}]]", ADDRESS, False),
    ],
)
def test_a_lost_data_service_is_told_from_a_lost_worker(text, address, is_lost):
    error = tf.errors.UnavailableError(None, None, text)
    with (
        pytest.raises(faults.ServiceLost if is_lost else type(error)) as caught,
        faults.naming_service(address, lambda: True),
    ):
        raise error
    if is_lost:
        assert str(caught.value) == (
            f"a lost data service (--data_service={ADDRESS}: failed to connect to all addresses)"
        )


def test_a_data_service_that_never_answered_is_refused_and_one_that_did_is_a_stop(
    resolve, monkeypatch
):
    def silent(address, *_):
        raise data_service.NoAnswer(f"--data_service={address} does not answer.")

    words = ("--method=supervised", "--tensorboard=true", "--checkpoint_steps=20")
    config = resolve(*words, f"--data_service={ADDRESS}")
    monkeypatch.setattr(data_service, "batches", silent)
    with pytest.raises(data_service.NoAnswer):
        train(config)
    # It is there for the first epoch, whose first batch the log wants to show then.
    with monkeypatch.context() as patch:
        patch.setattr(data_service, "batches", lambda _, *rest: pipeline.training_batches(*rest))
        patch.setattr(run_log.RunLog, "_first_batch", lambda *_: silent(ADDRESS))
        with pytest.raises(faults.ServiceLost, match=r"\(--data_service=.* does not answer\)$"):
            train(config)
        assert checkpoint_steps(config) == [10]
    # It was there for an earlier process.
    with pytest.raises(faults.ServiceLost):
        train(config)


def checkpoint_steps(config):
    folder = workdir.Layout(config.workdir).checkpoints
    return sorted(int(path.name.removeprefix("step_")) for path in folder.iterdir())


def test_pictures_of_the_first_batch_stand_once_where_the_end_of_its_epoch_is_made_anew(
    resolve, tmp_path, monkeypatch
):
    # A checkpoint from within the epoch is there, and what was logged at its end is beyond it.
    config = resolve("--method=supervised", "--tensorboard=true", "--checkpoint_steps=5")
    save = checkpoint.Checkpoints.save

    class Killed(Exception):
        pass

    def killed(self, step, *rest):
        if step == 10:
            raise Killed
        save(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", killed)
        with pytest.raises(Killed):
            train(config)
    assert checkpoint_steps(config) == [5]
    train(config)
    folder = tmp_path / "run" / "tensorboard"
    shown = [one for one in event_values.read(folder) if one[0].startswith("labeled/")]
    assert [step for _, step in shown] == [10]
    assert event_values.times_written(folder, *shown[0]) == 1


def test_a_fault_in_a_methods_code_keeps_its_traceback(resolve, monkeypatch):
    def loss_terms(self, batch, prepared):
        raise ValueError("shapes differ")

    monkeypatch.setattr(supervised.Supervised, "loss_terms", loss_terms)
    with pytest.raises(RuntimeError, match="a training step failed") as caught:
        train(resolve("--method=supervised"))
    assert not isinstance(caught.value, faults.USER_ERRORS)
    assert "shapes differ" in str(caught.value.__cause__)


def test_a_folder_that_is_lost_does_not_hide_why_an_evaluation_failed(resolve, monkeypatch):
    def fail(self):
        raise tf.errors.DataLossError(None, None, "no picture")

    def lost(self, *_):
        raise workdir.WorkdirError("moved")

    monkeypatch.setattr(loop._Runner, "_leave_evaluation", fail)
    monkeypatch.setattr(checkpoint.Checkpoints, "save", lost)
    with pytest.raises(tf.errors.DataLossError, match="no picture"):
        train(resolve("--method=supervised", "--checkpoint_steps=20"))
