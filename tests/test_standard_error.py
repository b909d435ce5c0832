"""Exit codes where nobody can be told why: standard error is full, has no reader, or is closed."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from drw_tf import child, command, ending, quiet, standard_error, train
from drw_tf import config as configuration

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(params=["full", "no reader", "closed"])
def unwritable(request, monkeypatch):
    """Standard error, of one of these kinds, while the test runs."""
    if request.param == "no reader":
        reader, writer = os.pipe()
        os.close(reader)
        stream = open(writer, "w", buffering=1)  # noqa: SIM115
    else:
        stream = open("/dev/full", "w", buffering=1)  # noqa: SIM115
    if request.param == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    with contextlib.suppress(OSError):  # it has still a line to write
        stream.close()


def interrupted(*_):
    raise KeyboardInterrupt("SIGTERM")


def test_a_line_is_written_as_a_whole_and_at_once(capsys):
    standard_error.say("train: one line.")
    assert capsys.readouterr() == ("", "train: one line.\n")


def test_a_refusal_keeps_its_code(unwritable):
    with pytest.raises(SystemExit) as caught:
        configuration.refuse("train", "bad")
    assert caught.value.code == 2


def test_a_stopped_trainer_keeps_its_code(unwritable, monkeypatch):
    monkeypatch.setattr(train, "_run", interrupted)
    with pytest.raises(SystemExit) as caught:
        command.main(["drw-tf", "train", "--dataset=digits"])
    assert caught.value.code == 75


def test_a_loop_over_trainers_that_is_stopped_keeps_its_code(unwritable):
    with pytest.raises(SystemExit) as caught, child.stoppable():
        interrupted()
    assert caught.value.code == 75


def test_an_interrupted_program_keeps_its_code(unwritable):
    with pytest.raises(SystemExit) as caught, ending.interruptible("export"):
        interrupted()
    assert caught.value.code == 128 + 15


def test_the_process_ends_with_the_code_of_a_refusal():
    # What is left in the stream's buffer is tried once more while the interpreter ends.
    words = [sys.executable, "-m", "drw_tf.train", "--bogus"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(words, cwd=ROOT, stderr=full, check=False).returncode == 2


def test_a_full_disk_under_what_is_printed_is_no_error(monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    configuration.show_progress("[1/2] python -m drw_tf.train")
    with configuration.reader_may_leave():
        print("the table")
    full.close()  # what it could not write before goes nowhere


def test_the_start_is_silenced_where_no_temporary_file_can_be_made(monkeypatch, capfd):
    def fails(*_, **__):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", fails)
    with quiet.startup():
        os.write(2, b"noise")
    assert capfd.readouterr().err == ""
