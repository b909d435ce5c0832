"""Whose a run's folder is: of one process, of the same flags and data, and what makes way."""

import dataclasses
import errno
import fcntl
import os
import platform

import numpy as np
import pytest

from drw_tf import faults, finished_run, session
from drw_tf.data import dataset as records
from drw_tf.data import registry
from drw_tf.report import record_file
from drw_tf.training import loop

pytestmark = pytest.mark.usefixtures("small_data")


load = registry.load


def train(config, *begun):
    return session.train(config, ["test"], *begun)


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

    def missing(config, **_):
        raise FileNotFoundError("no such folder")

    folder, begun = tmp_path / "run", []

    def begin():
        begun.append([*folder.glob("before_*")])

    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", missing)
        with pytest.raises(FileNotFoundError):
            train(resolve("--method=supervised", "--seed=1", "--fresh"), begin)
    assert not begun
    assert train(resolve("--method=supervised")) == kept
    train(resolve("--method=supervised", "--seed=1", "--fresh"), begin)
    assert len(begun) == len(begun[0]) == 1
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "run" / "other_run" / "checkpoints").is_dir()


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


def test_a_checkpoint_that_was_moved_away_for_one_that_did_not_come_is_one(tmp_path):
    assert not session.workdir.Layout(tmp_path).is_begun
    (tmp_path / "checkpoints" / ".replaced").mkdir(parents=True)
    assert session.workdir.Layout(tmp_path).is_begun


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


def test_a_run_does_not_go_on_with_other_data(resolve, tmp_path, monkeypatch, quarters, caplog):
    train(resolve("--method=supervised", "--stop_at_step=10"))
    dataset, split = quarters
    renamed = dataclasses.replace(dataset, class_names=("a", "b", "d", "c"))
    monkeypatch.setattr(registry, "load", lambda config, **_: (renamed, split))
    said = r"holds a run on other data: class 2 was 'c', now 'd'; bring"
    with pytest.raises(ValueError, match=said):
        train(resolve("--method=supervised"))
    with pytest.raises(ValueError, match=r"holds a run on other classes: class 2 was 'c', now 'd'"):
        finished_run.open_run(tmp_path / "run")
    fewer = records.Split(split.labeled, split.unlabeled[1:], split.validation)
    monkeypatch.setattr(registry, "load", lambda config, **_: (dataset, fewer))
    with pytest.raises(ValueError, match="on other data: other pictures are labeled"):
        train(resolve("--method=supervised"))
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
    assert train(resolve("--method=supervised"))["steps"] == 20


def test_a_finished_run_of_own_pictures_is_none_of_others(resolve, tmp_path, monkeypatch, quarters):
    monkeypatch.setattr(session.groups, "is_of_own_pictures", lambda config: True)
    kept = train(resolve("--method=supervised", "--steps=10"))
    dataset, split = quarters
    assert train(resolve("--method=supervised", "--steps=10")) == kept
    other = dataclasses.replace(dataset, class_names=("a", "b", "c", "bird"))
    monkeypatch.setattr(registry, "load", lambda config, **_: (other, split))
    with pytest.raises(ValueError, match=r"holds a run on other data: class 3 was 'd', now 'bird'"):
        train(resolve("--method=supervised", "--steps=10"))

    def missing(config, **_):
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
