"""Signals are handed on where this process hears them, and a second Ctrl-C is always heard."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from drw_tf.training import stop_signals

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def at_ctrl_c():
    """at_ctrl_c(handler): what SIGINT does until the test ends."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def test_both_signals_are_handed_on_and_then_no_more(at_ctrl_c):
    at_ctrl_c(signal.default_int_handler)
    numbers, came = (signal.SIGTERM, signal.SIGINT), []
    before = [signal.getsignal(number) for number in numbers]
    with stop_signals.handed_to(came.append):
        for number in numbers:
            signal.raise_signal(number)
    assert came == ["SIGTERM", "SIGINT"]
    assert [signal.getsignal(number) for number in numbers] == before


def test_ctrl_c_that_is_ignored_stays_so(at_ctrl_c):
    # As in the background of a script.
    at_ctrl_c(signal.SIG_IGN)
    came = []
    with stop_signals.handed_to(came.append):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert came == ["SIGTERM"]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_step_that_does_not_return():
    code = """
        import os, time
        import tensorflow as tf
        from drw_tf.training import stop_signals

        stop_signals._PATIENCE_SECONDS = 0.2
        heard = []

        def blocks():
            print("in the step", flush=True)
            time.sleep(600)

        def end():
            print(f"heard {len(heard)}", flush=True)
            os._exit(75)

        @tf.function
        def step():
            tf.numpy_function(blocks, [], [])

        with stop_signals.ended_by_a_second_ctrl_c(end), stop_signals.handed_to(heard.append):
            step()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a script, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout.readline() == "in the step\n"
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 75
    assert printed == "heard 0\n"


def test_a_second_ctrl_c_that_is_heard_needs_no_other_end(at_ctrl_c, monkeypatch):
    monkeypatch.setattr(stop_signals, "_PATIENCE_SECONDS", 60)
    at_ctrl_c(signal.default_int_handler)
    before = signal.set_wakeup_fd(-1)
    ended = []

    def twice():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with (
        pytest.raises(KeyboardInterrupt),
        stop_signals.ended_by_a_second_ctrl_c(lambda: ended.append(True)),
    ):
        twice()
    assert not ended
    assert signal.set_wakeup_fd(before) == -1
