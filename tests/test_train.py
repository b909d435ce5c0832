"""What `python -m drw_tf.train` says when it is stopped while nothing is trained."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_ctrl_c_at_the_start_is_one_line_and_the_code_of_a_stop(tmp_path):
    words = ("--dataset=digits", "--steps=50", f"--workdir={tmp_path / 'run'}")
    with subprocess.Popen(
        [sys.executable, "-m", "drw_tf.train", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a script, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        # TensorFlow is imported, the data are not read yet.
        while not (tmp_path / "run" / "config.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 75
    assert printed == "train: stopped by SIGINT; the same command goes on from what is saved.\n"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_handler_of_sigterm_is_put_back():
    from drw_tf import train

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        train.main(["train", "--steps=0"])
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("kind", ["DiskCameBack", "ServiceLost"])
def test_what_was_gone_for_a_while_is_a_stop_from_which_the_command_goes_on(
    tmp_path, monkeypatch, capsys, kind
):
    from drw_tf import faults, session, train

    def fail(config, command, begun):
        raise getattr(faults, kind)("a picture that could not be read (stale handle)")

    monkeypatch.setattr(session, "train", fail)
    with pytest.raises(SystemExit) as caught:
        train.main(["train", f"--workdir={tmp_path}/run"])
    assert caught.value.code == 75
    assert capsys.readouterr().err.splitlines()[-1] == (
        "train: stopped by a picture that could not be read (stale handle); the same command goes "
        "on from the last checkpoint."
    )
