"""Whose a run's folder is: of one process, of the same flags and data, and what makes way."""

import dataclasses
import errno
import fcntl
import os
import platform
import re
import shutil

import numpy as np
import pytest

from drw_tf import faults, finished_run, session
from drw_tf.data import dataset as records
from drw_tf.data import registry
from drw_tf.report import record_file
from drw_tf.training import checkpoint, loop

pytestmark = pytest.mark.usefixtures("small_data")


load = registry.load
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
SUPERVISED = ("--method=supervised", "--deterministic")  # as what `earlier` gives


def train(config, *begun):
    return session.train(config, ["test"], *begun)


@pytest.fixture
def earlier(uncut, tmp_path):
    """earlier("--stop_at_step=10"): the record of such a run, whose copy is this test's run."""

    def get(*words):
        folder, result = uncut("--method=supervised", *words)
        shutil.copytree(folder, tmp_path / "run")
        return result

    return get


def test_flags_that_the_data_refused_do_not_stand_in_the_way(resolve, monkeypatch, quarters):
    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", load)
        with pytest.raises(ValueError, match=r"class 0 must have.*Lower --labeled_max"):
            train(resolve("--method=supervised", "--labeled_max=1000"))
    assert train(resolve("--method=supervised", "--labeled_max=30"))["steps"] == 20
    with pytest.raises(ValueError, match=r"--labeled_max: was 30, now 40"):
        train(resolve("--method=supervised"))


def test_fresh_moves_the_earlier_run_aside(resolve, earlier, tmp_path):
    earlier()
    result = train(resolve(*SUPERVISED, "--seed=1", "--fresh"))
    assert result["configuration"]["seed"] == 1
    (aside,) = (tmp_path / "run").glob("before_*")
    assert record_file.read_record(aside / "record.json")["configuration"]["seed"] == 0


def test_fresh_leaves_what_is_not_of_a_run_and_waits_for_the_data(
    resolve, earlier, tmp_path, monkeypatch
):
    kept = earlier()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / "other_run" / "checkpoints").mkdir(parents=True)

    def missing(config, **_):
        raise FileNotFoundError("no such folder")

    folder, begun = tmp_path / "run", []

    def begin():
        begun.append([*folder.glob("before_*")])

    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", missing)
        with pytest.raises(FileNotFoundError):
            train(resolve(*SUPERVISED, "--seed=1", "--fresh"), begin)
    assert not begun
    assert train(resolve(*SUPERVISED)) == kept
    train(resolve(*SUPERVISED, "--seed=1", "--fresh"), begin)
    assert len(begun) == len(begun[0]) == 1
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "run" / "other_run" / "checkpoints").is_dir()


def test_second_process_is_refused_with_the_first_ones_pid(resolve, tmp_path):
    held = session.workdir.Workdir(tmp_path / "run")
    holder = f"in use by process {os.getpid()} on {platform.node()} since {TIME};"
    with pytest.raises(session.workdir.WorkdirError, match=holder):
        train(resolve("--method=drw"))
    held.release()


def test_a_lock_that_nobody_holds_is_stale_whatever_stands_in_it(tmp_path):
    (tmp_path / "lock").write_text(f"{os.getpid()} on another machine, longer than ours")
    held = session.workdir.Workdir(tmp_path)
    expected = rf"{os.getpid()} on {re.escape(platform.node())} since {TIME}"
    assert re.fullmatch(expected, (tmp_path / "lock").read_text())
    held.release()


def test_a_checkpoint_that_was_moved_away_for_one_that_did_not_come_is_one(tmp_path):
    assert not session.workdir.Layout(tmp_path).is_begun
    (tmp_path / "checkpoints" / ".replaced").mkdir(parents=True)
    assert session.workdir.Layout(tmp_path).is_begun


@pytest.fixture
def moved_away(resolve, tmp_path):
    """The flags of a run that was killed between the two renames of its only checkpoint."""
    words = ("--method=supervised", "--checkpoint_steps=10")
    train(resolve(*words, "--stop_at_step=10"))
    (only,) = (tmp_path / "run" / "checkpoints").iterdir()
    only.rename(only.with_name(".replaced"))
    return words


def test_a_run_whose_only_checkpoint_was_moved_away_goes_on_from_it(
    resolve, moved_away, monkeypatch
):
    made, load = session.runs.Run, checkpoint.Checkpoints.load
    goes_on, loaded = [], []

    def noted_run(config, team, data, begun_with):
        goes_on.append(bool(begun_with))
        return made(config, team, data, begun_with)

    def noted_load(self, step):
        loaded.append(step)
        load(self, step)

    monkeypatch.setattr(session.runs, "Run", noted_run)
    monkeypatch.setattr(checkpoint.Checkpoints, "load", noted_load)
    assert train(resolve(*moved_away))["steps"] == 20
    assert (goes_on, loaded) == ([True], [10])


def test_fresh_moves_a_run_aside_with_its_checkpoint_where_it_belongs(
    resolve, moved_away, tmp_path
):
    train(resolve(*moved_away, "--fresh", "--stop_at_step=10"))
    (aside,) = (tmp_path / "run").glob("before_*")
    assert [path.name for path in (aside / "checkpoints").iterdir()] == ["step_000000010"]


def test_a_folder_that_cannot_be_locked_is_named(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(session.workdir.WorkdirError, match="cannot be locked: No locks available"):
        session.workdir.Workdir(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"of": "another program"}'])
def test_a_configuration_that_is_none_is_named_and_kept(resolve, tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a run"):
        train(resolve("--method=drw"))
    assert (tmp_path / "run" / "config.json").read_text() == text


def test_a_run_does_not_go_on_with_other_data(
    resolve, earlier, tmp_path, monkeypatch, quarters, caplog
):
    earlier("--stop_at_step=10")
    dataset, split = quarters
    renamed = dataclasses.replace(dataset, class_names=("a", "b", "d", "c"))
    monkeypatch.setattr(registry, "load", lambda config, **_: (renamed, split))
    said = r"holds a run on other data: class 2 was 'c', now 'd'; bring"
    with pytest.raises(ValueError, match=said):
        train(resolve(*SUPERVISED))
    with pytest.raises(ValueError, match=r"holds a run on other classes: class 2 was 'c', now 'd'"):
        finished_run.open_run(tmp_path / "run")
    fewer = records.Split(split.labeled, split.unlabeled[1:], split.validation)
    monkeypatch.setattr(registry, "load", lambda config, **_: (dataset, fewer))
    with pytest.raises(ValueError, match="on other data: other pictures are labeled"):
        train(resolve(*SUPERVISED))
    # What is judged or exported may have other pictures by now, and keeps its own numbers.
    more = records.Split(
        np.append(split.labeled, split.unlabeled[0]), fewer.unlabeled, split.validation
    )
    name = dataset.class_names[dataset.train.labels[split.unlabeled[0]]]
    for changed, said in (
        (fewer, "it had 60 unlabeled pictures, now 59; its own numbers count."),
        (more, f" labeled pictures of {name}, now "),
    ):
        monkeypatch.setattr(registry, "load", lambda config, now=changed, **_: (dataset, now))
        caplog.clear()
        run, _ = finished_run.open_run(tmp_path / "run")
        assert f"{tmp_path}/run was trained on other pictures: " in caplog.text
        assert said in caplog.text
        assert run.method.facts.labeled_counts.sum() == 20
    monkeypatch.setattr(registry, "load", lambda config, **_: (dataset, split))
    assert train(resolve(*SUPERVISED))["steps"] == 20


def test_a_finished_run_of_own_pictures_is_none_of_others(
    resolve, earlier, tmp_path, monkeypatch, quarters
):
    monkeypatch.setattr(session.groups, "is_of_own_pictures", lambda config: True)
    kept = earlier()
    dataset, split = quarters
    assert train(resolve(*SUPERVISED)) == kept
    other = dataclasses.replace(dataset, class_names=("a", "b", "c", "bird"))
    monkeypatch.setattr(registry, "load", lambda config, **_: (other, split))
    with pytest.raises(ValueError, match=r"holds a run on other data: class 3 was 'd', now 'bird'"):
        train(resolve(*SUPERVISED))

    def missing(config, **_):
        raise FileNotFoundError("no such folder")

    monkeypatch.setattr(registry, "load", missing)
    with pytest.raises(FileNotFoundError):
        train(resolve(*SUPERVISED))
    assert record_file.read_record(tmp_path / "run" / "record.json") == kept


def test_a_damaged_file_of_data_or_code_is_named_and_none_is_of_an_older_version(
    resolve, earlier, tmp_path
):
    earlier("--stop_at_step=10")
    for name in ("data.json", "made_by.json"):
        path = tmp_path / "run" / name
        for text in ("{", "[1]"):
            path.write_text(text)
            with pytest.raises(session.configuration.ConfigError, match=rf"run/{name} "):
                train(resolve(*SUPERVISED))
        path.unlink()
    assert train(resolve(*SUPERVISED))["steps"] == 20
    assert (tmp_path / "run" / "data.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        # What is written next are the events of an epoch.
        pytest.param(("--tensorboard", "--checkpoint_steps=10"), marks=pytest.mark.slow),
    ],
)
def test_a_run_whose_folder_was_moved_away_stops_before_it_writes_again(
    resolve, tmp_path, monkeypatch, words
):
    ended = loop._Runner.on_train_batch_end

    def moved(self, batch, logs=None):
        if self.step == 6:
            (tmp_path / "run").rename(tmp_path / "moved")
        ended(self, batch, logs)

    config = resolve("--method=supervised", *words)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Runner, "on_train_batch_end", moved)
        with pytest.raises(faults.USER_ERRORS, match="was moved or removed while this run trained"):
            session.train(config, ["test"])
    assert not (tmp_path / "run").exists()
    moved_config = resolve("--method=supervised", f"--workdir={tmp_path / 'moved'}")
    assert session.train(moved_config, ["test"])["steps"] == 20
