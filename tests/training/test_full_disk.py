"""A full disk or a folder that cannot be written: one line, code 2, and nothing lost."""

import errno
import json
import os
import pathlib

import pytest
import tensorflow as tf

from drw_tf import train
from drw_tf.report import record_file
from drw_tf.training import checkpoint, workdir

LENGTHS = ("--batch_size=8", "--steps=20", "--steps_per_epoch=10", "--checkpoint_steps=10")


pytestmark = pytest.mark.usefixtures("small_data")


@pytest.fixture
def command(tmp_path, capsys):
    """command(): (exit code, last line on standard error) of the trainer."""

    def run(workdir=tmp_path / "run"):
        more = ("--export=false", "--tensorboard=false", f"--workdir={workdir}")
        code = 0
        try:
            train.main(["drw_tf.train", "--method=supervised", *LENGTHS, *more])
        except SystemExit as error:
            code = error.code
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        return code, printed.splitlines()[-1] if printed else ""

    return run


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tensorflow_full(*_, **__):
    # As TensorFlow 2.15 words it on a full tmpfs.
    raise tf.errors.ResourceExhaustedError(
        None, None, "{{function_node __wrapped__SaveV2}} run/part; No space left on device"
    )


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [
        (tf.train.Checkpoint, "write", tensorflow_full),
        pytest.param(checkpoint.os, "fsync", full, marks=pytest.mark.slow),
    ],
    ids=["variables", "flush"],
)
def test_a_disk_that_fills_up_at_a_checkpoint(command, monkeypatch, tmp_path, owner, name, failure):
    save = checkpoint.Checkpoints.save

    def second_is_too_large(self, step, *args):
        with monkeypatch.context() as patch:
            if step == 20:
                patch.setattr(owner, name, failure)
            save(self, step, *args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", second_is_too_large)
        code, line = command()
    assert code == 2
    assert line.startswith("train: could not write checkpoint ")
    assert line.endswith("No space left on device; the last good one is that of step 10.")
    assert "{{" not in line
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert kept == ["step_000000010"]
    assert command()[0] == 0
    assert len(json.loads((tmp_path / "run" / "record.json").read_text())["history"]) == 2


def test_a_disk_that_is_full_at_the_start(command, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "fsync", full)
    flags = tmp_path / "run" / "config.json"
    code, line = command()
    assert code == 2
    assert line == f"train: {flags} cannot be written: No space left on device."
    assert not flags.exists()


def test_flags_are_replaced_whole_or_not_at_all(monkeypatch, tmp_path):
    folder = workdir.Workdir(tmp_path)
    folder.write_config("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(workdir.WorkdirError, match="No space left on device"):
            folder.write_config("new")
    assert folder.config.read_text() == "old"
    folder.write_config("new")
    assert folder.config.read_text() == "new"
    folder.release()


def test_flags_and_what_tells_the_data_are_the_last_to_be_moved_aside(monkeypatch, tmp_path):
    folder = workdir.Workdir(tmp_path)
    for name in ("notes.json", "config.json", "data.json", "record.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "checkpoints").mkdir()
    rename, moved = pathlib.Path.rename, []
    monkeypatch.setattr(
        pathlib.Path, "rename", lambda self, to: moved.append(self.name) or rename(self, to)
    )
    folder.set_aside()
    folder.release()
    assert moved == ["record.json", "checkpoints", "data.json", "config.json"]


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_record(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(record_file.os, "fsync", full_at_the_record())
        code, line = command()
    assert code == 2
    assert "No space left on device" in line
    assert not (tmp_path / "run" / "record.json").exists()
    assert command()[0] == 0
    assert (tmp_path / "run" / "record.json").exists()


def full_at_the_record():
    """`os.fsync` that fails where the record is written, and works for checkpoints."""
    works = os.fsync

    def fsync(descriptor):
        if "record.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            full()
        works(descriptor)

    return fsync


def test_a_workdir_below_a_file_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("")
    code, line = command(tmp_path / "file" / "run")
    assert code == 2
    assert line == f"train: --workdir={tmp_path}/file/run cannot be written: Not a directory."
