"""A child is left time to save, and its exit code is passed on."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from drw_tf import child

ROOT = pathlib.Path(__file__).parents[1]
# Says that it is ready, and stops with the trainer's code when it is asked to.
SAVES = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.2)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
pathlib.Path(sys.argv[1], "ready").touch()
time.sleep(60)
"""
PARENT = "import sys; from drw_tf import child; sys.exit(child.run(sys.argv[1:]))"


@pytest.mark.parametrize("way", ["SIGTERM to the parent", "Ctrl-C to both"])
def test_the_parent_waits_until_the_child_has_saved(tmp_path, way):
    words = [sys.executable, "-c", PARENT, sys.executable, "-c", SAVES, str(tmp_path)]
    parent = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
    while not (tmp_path / "ready").exists():
        assert parent.poll() is None
    if way == "Ctrl-C to both":
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.terminate()
    assert parent.wait(timeout=30) == 75
    assert (tmp_path / "saved").exists()


def test_the_exit_code_of_the_trainer_is_passed_on(monkeypatch):
    started = []

    def run(command):
        started.append(command)
        return len(started) - 1

    monkeypatch.setattr(child, "run", run)
    child.train(["--seed=1"])
    assert started[0][1:] == ["-m", "drw_tf.train", "--seed=1"]
    with pytest.raises(SystemExit) as caught:
        child.train([])
    assert caught.value.code == 1


def test_handlers_of_signals_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert child.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
