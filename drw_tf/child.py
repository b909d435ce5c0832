"""The trainer in a process of its own, which is asked to stop when this one is."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from drw_tf import ending, standard_error
from drw_tf import train as trainer
from drw_tf.training import workdir as workdirs

# Becomes the command once the kernel has been told to ask it to stop when its parent ends, however
# that ends. A program of its own, since code between a fork and the command may hang where the
# parent has threads, as TensorFlow has. 1 is PR_SET_PDEATHSIG. A parent that has died before that
# is not noticed by the kernel.
_TIED = """
import ctypes, os, signal, sys
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
stopped, parent, *command = sys.argv[1:]
if os.getppid() != int(parent):
    raise SystemExit(int(stopped))
os.execvp(command[0], command)
"""
# How long a trainer may take to save whose parent was killed.
_PATIENCE_SECONDS = 120.0


def train(words: Sequence[str], workdir: str | os.PathLike) -> None:
    """Runs `python -m drw_tf.train` with these flags to its end.

    Where another process is still in the run's folder it is waited for, for a limited time:
    it may be the trainer of an earlier command that was killed, and save.

    Args:
        words: flags of the trainer.
        workdir: the folder that they name.

    Raises:
        SystemExit: see `carry_out`.
    """
    _wait_for(workdir)
    carry_out([sys.executable, "-m", "drw_tf.train", *words])


def carry_out(command: Sequence[str]) -> None:
    """Runs a command to its end.

    Raises:
        SystemExit: it failed, or stopped after a signal and has saved its state (75); its exit
            code is passed on, that of a kill as a shell gives it (137).
    """
    code = run(command)
    if code:
        raise SystemExit(code if code > 0 else ending.EXIT_OF_SIGNAL - code)


def run(command: Sequence[str]) -> int:
    """Exit code of a command that is left time to save what it has when this process is stopped.

    Ctrl-C reaches the command by itself, from the terminal; SIGTERM is handed on. Both leave
    this process waiting for the command's end; the code is then 75 also where the command was
    just done, or had not begun. On Linux SIGKILL of this process is a SIGTERM for the command.
    """
    asked: list[int] = []
    process = None

    def hear(number, frame):
        asked.append(number)
        if process and number == signal.SIGTERM:
            process.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            # What this process ignores, as in the background of a script, so does the command.
            if before[number] != signal.SIG_IGN:
                signal.signal(number, hear)
        with subprocess.Popen(_tied(command)) as process:
            if asked:  # when there was no process yet to hear of it
                process.terminate()
            code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked and code in (0, -signal.SIGINT, -signal.SIGTERM):
        _say_stopped(signal.Signals(asked[0]).name)
        return trainer.EXIT_STOPPED
    return code


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Context of a loop over commands: between two of them a signal ends it like one in them.

    Raises:
        SystemExit: SIGTERM or Ctrl-C arrived (75).
    """
    before = signal.signal(signal.SIGTERM, ending.interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        _say_stopped(ending.signal_of(error).name)
        raise SystemExit(trainer.EXIT_STOPPED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_stopped(name: str) -> None:
    standard_error.say(f"stopped by {name}; the same command goes on.")


def _tied(command: Sequence[str]) -> Sequence[str]:
    """The command, which where that can be had is asked to stop at this process's end."""
    if sys.platform != "linux":
        return command
    start = [sys.executable, "-I", "-S", "-c", _TIED]
    return [*start, str(trainer.EXIT_STOPPED), str(os.getpid()), *command]


def _wait_for(folder: str | os.PathLike) -> None:
    """Returns when nobody holds a run's folder, or after a time: then the trainer refuses it."""
    if not os.path.exists(folder):
        return  # and is not made: the trainer may refuse it
    with contextlib.suppress(workdirs.WorkdirError):
        workdirs.Workdir(folder, _PATIENCE_SECONDS).release()
