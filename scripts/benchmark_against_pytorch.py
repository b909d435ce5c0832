"""Measures our DRw step against the same step in plain PyTorch, in turn, in one run.

    python scripts/benchmark_against_pytorch.py --pytorch=other-environment/bin/python

PyTorch is no dependency: `--pytorch` names a Python that has it. Each side is a process of its
own that waits while the other one works. Both begin with the same weights and the same batch;
that the networks have as many weights and the first losses agree is checked before anything is
measured. The fastest round of each counts; figures are void while anything else runs.
"""

import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import repository
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("pytorch", sys.executable, "A Python with PyTorch and NumPy.")
flags.DEFINE_integer("depth", 28, "Depth of the wide residual network, 6 n + 4.", 10)
flags.DEFINE_integer("width", 2, "Its width.", 1)
flags.DEFINE_list("shape", ["32", "32", "3"], "Height, width and channels of the pictures.")
flags.DEFINE_integer("classes", 10, "C.", 2)
flags.DEFINE_integer("batch_size", 64, "B, labeled pictures a step.", 1)
flags.DEFINE_integer("unlabeled_ratio", 2, "mu.", 1)
flags.DEFINE_list("forward", ["separate", "joint"], "Weak views apart, or all in one pass.")
flags.DEFINE_integer("rounds", 5, "Rounds; the fastest counts.", 1)
flags.DEFINE_integer("round_steps", 5, "Steps in a round.", 1)
flags.DEFINE_bool("compiled", True, "PyTorch also with torch.compile.")

DECAY, LEARNING_RATE, EMA, MOMENTUM, EPSILON = 5e-4, 0.03, 0.999, 0.9, 1e-5
# Relative; float32 sums in another order.
AGREEMENT = 1e-3


class Side:
    """A process that does a round of steps when it is told to."""

    def __init__(self, python, script, settings, log):
        command = [python, str(repository.ROOT / "scripts" / script), json.dumps(settings)]
        # Threads of PyTorch that spin while they wait are four times slower here.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self._log = log
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            env=environment,
            text=True,
        )
        self.told = self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text().strip().splitlines()[-3:]
            raise RuntimeError(" ".join(tail) or "the process ended")
        return json.loads(line)

    def round(self) -> float:
        """Seconds of a step."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def settings_of(forward, folder):
    """What both sides need to know."""
    views = ["unlabeled.strong"]
    return {
        "shape": list(map(int, FLAGS.shape)),
        "classes": FLAGS.classes,
        "folder": str(folder),
        "exchange": str(folder / f"{forward}.npz"),
        "round_steps": FLAGS.round_steps,
        "forward": forward,
        "strong": views,
        # Every pseudo-label counts, so that the first losses can be compared.
        "threshold": 0.0,
        "decay": DECAY,
        "learning_rate": LEARNING_RATE,
        "ema": EMA,
        "compiled": False,
        "network": {
            "depth": FLAGS.depth,
            "width": FLAGS.width,
            "channels": int(FLAGS.shape[2]),
            "classes": FLAGS.classes,
            "momentum": MOMENTUM,
            "epsilon": EPSILON,
        },
        "flags": [
            "--dataset=cifar10",
            "--protocol=modern",
            "--method=drw",
            f"--model=wide_resnet_{FLAGS.depth}_{FLAGS.width}",
            f"--batch_size={FLAGS.batch_size}",
            f"--unlabeled_ratio={FLAGS.unlabeled_ratio}",
            f"--forward={forward}",
            "--strong_views=1",
            "--threshold=0",
            "--schedule=constant",
            "--ema_warmup=false",
            f"--weight_decay={DECAY}",
            f"--learning_rate={LEARNING_RATE}",
            f"--ema_decay={EMA}",
            f"--batch_norm_momentum={MOMENTUM}",
            f"--batch_norm_epsilon={EPSILON}",
        ],
    }


def measure(forward, folder):
    """(fewest seconds of a step by the name of the side, lines that say what was checked)."""
    settings = settings_of(forward, folder)
    with contextlib.ExitStack() as stack:

        def start(python, script, **more):
            name = f"{script}{forward}{len(more)}.log"
            side = Side(python, script, settings | more, folder / name)
            stack.callback(side.close)
            return side

        sides = {"ours": start(sys.executable, "against_pytorch_ours.py")}
        sides["PyTorch"] = start(FLAGS.pytorch, "against_pytorch_theirs.py")
        lines = [refuse_difference(sides["ours"].told, sides["PyTorch"].told)]
        if FLAGS.compiled:
            try:
                theirs = start(FLAGS.pytorch, "against_pytorch_theirs.py", compiled=True)
                refuse_difference(sides["ours"].told, theirs.told)
                sides["PyTorch, torch.compile"] = theirs
            except RuntimeError as error:
                lines.append(f"torch.compile does not work here: {error}")
        best = dict.fromkeys(sides, math.inf)
        for _ in range(FLAGS.rounds):
            for name, side in sides.items():
                best[name] = min(best[name], side.round())
    return best, lines


def refuse_difference(ours, theirs):
    """A line that says what agrees; raises ValueError where the two do different work."""
    if ours["parameters"] != theirs["parameters"]:
        raise ValueError(f"{ours['parameters']} weights here, {theirs['parameters']} there.")
    if not math.isclose(ours["loss"], theirs["loss"], rel_tol=AGREEMENT):
        raise ValueError(f"first loss {ours['loss']} here, {theirs['loss']} there.")
    return (
        f"both: {ours['parameters']} weights, first loss {ours['loss']:.5f} and "
        f"{theirs['loss']:.5f}; {ours['machine']}, PyTorch {theirs['version']}"
    )


def has_pytorch():
    """Whether the other Python has what is needed."""
    with contextlib.suppress(OSError):
        done = subprocess.run(
            [FLAGS.pytorch, "-c", "import torch, numpy"], capture_output=True, check=False
        )
        return done.returncode == 0
    return False


def main(_):
    """Prints a table for each form of the forward pass."""
    if not has_pytorch():
        print(
            f"benchmark_against_pytorch: --pytorch={FLAGS.pytorch} has no PyTorch; give a Python "
            "that has it and NumPy.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for forward in FLAGS.forward:
            best, lines = measure(forward, pathlib.Path(folder))
            print(f"--forward={forward}", *lines, sep="\n", flush=True)
            print("| side | ms a step | times ours |\n| --- | --- | --- |")
            for name, seconds in best.items():
                print(f"| {name} | {1e3 * seconds:.1f} | {seconds / best['ours']:.2f} |")
            times[forward] = best
    for forward, best in times.items():
        theirs = min(value for name, value in best.items() if name != "ours")
        print(f"PyTorch's better form over ours, {forward}: {theirs / best['ours']:.2f}")


if __name__ == "__main__":
    app.run(main)
