"""A child is left time to save, and its exit code is passed on."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from drw_tf import child
from drw_tf.training import workdir

ROOT = pathlib.Path(__file__).parents[1]
# Says that it is ready, and stops with the trainer's code, or another, when it is asked to.
SAVES = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.2)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(int(sys.argv[2]) if sys.argv[2:] else 75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
pathlib.Path(sys.argv[1], "ready").touch()
time.sleep(60)
"""
PARENT = "import sys; from drw_tf import child; sys.exit(child.run(sys.argv[1:]))"
# Between two commands.
BETWEEN = """
import pathlib, sys, time
from drw_tf import child
with child.stoppable():
    child.carry_out([sys.executable, "-c", ""])
    pathlib.Path(sys.argv[1], "ready").touch()
    time.sleep(60)
    child.carry_out([sys.executable, "-c", ""])
"""


def begun(tmp_path, *words):
    """A Python with these words, in a process group of its own, that has said it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a script, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until((tmp_path / "ready").exists)
    assert process.poll() is None
    return process


def until(happened):
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("way", "code", "passed_on"),
    [
        ("SIGTERM to the parent", 75, 75),
        ("Ctrl-C to both", 75, 75),
        ("SIGTERM to the parent", 0, 75),  # it was just done: no other one follows
        ("SIGTERM to the parent", 2, 2),
    ],
)
def test_the_parent_waits_until_the_child_has_saved(tmp_path, way, code, passed_on):
    words = [PARENT, sys.executable, "-c", SAVES, str(tmp_path), str(code)]
    with begun(tmp_path, *words) as parent:
        if way == "Ctrl-C to both":
            os.killpg(parent.pid, signal.SIGINT)
        else:
            parent.terminate()
        assert parent.wait(timeout=30) == passed_on
    assert (tmp_path / "saved").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux's kernel")
def test_the_child_of_a_killed_parent_saves(tmp_path):
    with begun(tmp_path, PARENT, sys.executable, "-c", SAVES, str(tmp_path)) as parent:
        parent.kill()
        until((tmp_path / "saved").exists)


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux's kernel")
def test_a_child_whose_parent_is_dead_already_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(child.os, "getpid", lambda: 0)
    words = [sys.executable, "-c", "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"]
    assert child.run([*words, str(tmp_path / "begun")]) == 75
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_two_children_is_one_line_and_the_code_of_a_stop(tmp_path, number):
    with begun(tmp_path, BETWEEN, str(tmp_path)) as parent:
        parent.send_signal(number)
        _, printed = parent.communicate(timeout=30)
    assert parent.returncode == 75
    # Above it stands what TensorFlow says at its import.
    line = printed.splitlines()[-1]
    assert line == f"stopped by {signal.Signals(number).name}; the same command goes on."
    assert "Traceback" not in printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_child_is_made_reaches_it(monkeypatch, number):
    make = subprocess.Popen

    def slow(command):
        assert signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler)
        signal.raise_signal(number)
        return make(command)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(child.subprocess, "Popen", slow)
    try:
        begin = time.monotonic()
        assert child.run([sys.executable, "-c", "import time; time.sleep(60)"]) == 75
        assert time.monotonic() - begin < 30
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_the_parent_ignores_the_child_ignores():
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGINT) != signal.SIG_IGN)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert child.run([sys.executable, "-c", code]) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_trainer_that_still_saves_is_waited_for(tmp_path, monkeypatch, caplog):
    holder = workdir.Workdir(tmp_path)
    was_free = []

    def run(command):
        workdir.Workdir(tmp_path).release()  # refused where it is held
        was_free.append(True)
        return 0

    monkeypatch.setattr(child, "run", run)
    later = threading.Timer(0.5, holder.release)
    later.start()
    child.train([], tmp_path)
    later.join()
    assert was_free
    (line,) = caplog.messages
    assert line.startswith(f"--workdir={tmp_path} is in use by process {os.getpid()} on ")
    assert line.endswith("; waiting for it.")
    child.train([], tmp_path)
    child.train([], tmp_path / "not there yet")
    assert not (tmp_path / "not there yet").exists()
    assert len(caplog.messages) == 1


def test_a_folder_that_stays_in_use_is_left_to_the_trainer_to_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(child, "run", lambda command: 2)
    holder = workdir.Workdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        child.train([], tmp_path)
    assert caught.value.code == 2
    holder.release()


def test_the_exit_code_of_the_trainer_is_passed_on(monkeypatch, tmp_path):
    started = []

    def run(command):
        started.append(command)
        return len(started) - 1

    monkeypatch.setattr(child, "run", run)
    child.train(["--seed=1"], tmp_path)
    assert started[0][1:] == ["-m", "drw_tf.train", "--seed=1"]
    with pytest.raises(SystemExit) as caught:
        child.train([], tmp_path)
    assert caught.value.code == 1
    monkeypatch.setattr(child, "run", lambda command: -signal.SIGKILL)
    with pytest.raises(SystemExit) as caught:
        child.train([], tmp_path)
    assert caught.value.code == 137


def test_handlers_of_signals_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert child.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
