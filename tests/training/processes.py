"""Workers as processes of their own on this machine, and what their runs leave behind."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf

from tests import ended_runs

ROOT = pathlib.Path(__file__).parents[2]
# Small steps, as rounding would grow; batch statistics of the global batch on both sides.
TINY = (
    *("--dataset=digits", "--method=drw", "--reweight_start=0", "--batch_size=12"),
    *("--learning_rate=0.002", "--sync_batch_norm", "--steps=4", "--steps_per_epoch=2"),
    *("--steps_per_execution=2", "--checkpoint_steps=2"),
    *("--tensorboard=false", "--export=false"),
)


def free_ports(count):
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def environment(index, ports):
    """Variables of worker `index` of those that listen on these ports."""
    hosts = [f"127.0.0.1:{port}" for port in ports]
    task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
    return {**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}


class Worker:
    """`python -m drw_tf.train` with its output in files; ends with the `with` block."""

    def __init__(self, folder, index, ports, *arguments):
        self.error_file = folder / f"stderr{index}"
        self.out_file = folder / f"stdout{index}"
        words = [sys.executable, "-m", "drw_tf.train", *arguments]
        with self.error_file.open("w") as stderr, self.out_file.open("w") as stdout:
            self.process = subprocess.Popen(
                words, cwd=ROOT, stdout=stdout, stderr=stderr, env=environment(index, ports)
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def stderr(self):
        return self.error_file.read_text()

    @property
    def stdout(self):
        return self.out_file.read_text()

    def ends(self, timeout=300):
        """Its exit code; what it said is shown where it does not end."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s: {self.stderr}") from None


@contextlib.contextmanager
def started(folder, count, *arguments):
    """`count` workers that train together."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(count)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Worker(folder, index, ports, *arguments)) for index in range(count)
        ]


def wait_for(condition, timeout=300):
    """Waits until it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not come within {timeout} s"
        time.sleep(0.02)


def assert_same_end(one, other, tolerance=1e-5):
    """Two runs ended with the same variables, metrics and pseudo-label numbers."""
    expected, got = ended_runs.variables_of(one), ended_runs.variables_of(other)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    histories = (ended_runs.history_of(path) for path in (one, other))
    for first, second in zip(*histories, strict=True):
        tf.nest.map_structure(
            lambda a, b: (
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=tolerance)
                if isinstance(a, float)
                else np.testing.assert_equal(a, b)
            ),
            first,
            second,
        )
