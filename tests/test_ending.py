"""A program that has saved its work ends, whatever still sleeps; inside another it only exits."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from drw_tf import command, ending
from drw_tf import config as configuration

ROOT = pathlib.Path(__file__).parents[1]
# An orderly exit of the interpreter would wait for this thread.
SLEEPER = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"


def started(code, **kwargs):
    return subprocess.Popen([sys.executable, "-c", SLEEPER + code], cwd=ROOT, text=True, **kwargs)


def test_the_process_ends_with_the_code_and_what_was_printed_while_a_thread_sleeps():
    code = """
        from drw_tf import ending
        def main():
            print("all is saved")
            raise ending.AtOnce(75)
        ending.run(main)
    """
    with started(textwrap.dedent(code), stdout=subprocess.PIPE) as process:
        printed, _ = process.communicate(timeout=60)
    assert (process.returncode, printed) == (75, "all is saved\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drw_tf.train", ["train"]),
        pytest.param("drw_tf", ["drw-tf", "train"], marks=pytest.mark.slow),
    ],
)
def test_a_stopped_trainer_waits_for_no_thread(tmp_path, name, words):
    flags = ["--dataset=digits", "--steps=50", f"--workdir={tmp_path / 'run'}"]
    code = f"import runpy, sys; sys.argv = {words + flags}; "
    code += f"runpy.run_module({name!r}, None, '__main__')"
    with started(code, stderr=subprocess.PIPE) as process:
        while not (tmp_path / "run" / "config.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 75
    assert printed == "train: stopped by SIGTERM; the same command goes on from what is saved.\n"
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", ["data_report", "evaluate", "export", "predict", "report"])
def test_a_signal_is_one_line_in_programs_that_cannot_go_on(program, number, monkeypatch, capsys):
    monkeypatch.setattr(configuration, "parse", lambda *args: signal.raise_signal(number))
    # Where tests run in the background of a script, Ctrl-C is ignored.
    at_ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            command.main(["drw-tf", program])
    finally:
        signal.signal(signal.SIGINT, at_ctrl_c)
    assert caught.value.code == 128 + number
    assert signal.getsignal(signal.SIGTERM) == before
    assert capsys.readouterr().err == f"{program}: interrupted.\n"


def test_other_exits_and_errors_pass():
    def refused():
        raise SystemExit(2)

    def broken():
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as exit_:
        ending.run(refused)
    assert exit_.value.code == 2
    with pytest.raises(ZeroDivisionError):
        ending.run(broken)


@pytest.mark.parametrize(
    ("words", "has_moved", "advice"),
    [
        ([], False, "the same command goes on from what is saved"),
        (["--fresh"], True, "the same command without --fresh goes on from what is saved"),
        # Without it the earlier run would go on.
        (["--fresh"], False, "give the same command again"),
    ],
)
def test_in_a_program_that_calls_it_it_is_an_exit_as_any_other(
    monkeypatch, capsys, words, has_moved, advice
):
    from drw_tf import train

    def stop(config, command, start):
        start.has_moved = has_moved
        raise KeyboardInterrupt("SIGTERM")

    monkeypatch.setattr(train, "_run", stop)
    with pytest.raises(SystemExit) as exit_:
        command.main(["drw-tf", "train", "--dataset=digits", *words])
    assert exit_.value.code == 75
    assert capsys.readouterr().err == f"train: stopped by SIGTERM; {advice}.\n"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise ending.AtOnce(75)", 75),
        # Of several workers one that is interrupted, and one without a peer.
        ("train.main(['train', '--strategy=multi_worker'])", 75),
        ("train._leave('another worker is gone', 'the same commands go on')", 69),
    ],
)
def test_a_process_that_ends_at_once_leaves_no_file_of_tensorflow(tmp_path, end, code):
    lines = """
        from drw_tf import ending, train
        def interrupted(*_):
            raise KeyboardInterrupt("SIGTERM")
        train._run = interrupted
        def main():
            import tensorflow as tf
            def positive(x):
                return x if x > 0 else -x
            tf.function(positive)(tf.constant(1.0))
            END
        ending.run(main)
    """
    path, scratch = tmp_path / "program.py", tmp_path / "scratch"
    path.write_text(textwrap.dedent(lines).replace("END", end))  # AutoGraph needs the source
    scratch.mkdir()
    where = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    where["PYTHONDONTWRITEBYTECODE"] = ""  # that is a file, too
    assert subprocess.run([sys.executable, path], env=where, check=False).returncode == code
    assert not list(scratch.iterdir())
