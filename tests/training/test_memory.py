"""A long run does not grow."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Notes the resident size, in KiB, at the end of every epoch.
PROGRAM = """
import json, sys
from drw_tf import train
from drw_tf.training import loop

sizes = {}
ended = loop._Runner.on_epoch_end

def on_epoch_end(self, epoch, logs=None):
    ended(self, epoch, logs)
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS")]
    sizes[self.step] = int(line.split()[1])

loop._Runner.on_epoch_end = on_epoch_end
train.main(["train", *sys.argv[2:]])
with open(sys.argv[1], "w") as file:
    json.dump(sizes, file)
"""


@pytest.mark.slow
def test_two_thousand_steps_grow_less_than_20_megabytes(tmp_path):
    """With evaluations, pictures for TensorBoard and checkpoints as in any other run."""
    flags = (
        *("--method=drw", "--reweight_start=0.1", "--batch_size=8", "--unlabeled_ratio=1"),
        *("--steps=2000", "--steps_per_epoch=50", "--checkpoint_steps=100", "--export=false"),
    )
    places = (str(tmp_path / "sizes.json"), f"--workdir={tmp_path / 'run'}")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *places, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "sizes.json").read_text())
    megabytes = {int(step): size / 1024 for step, size in sizes.items()}
    print({step: round(size, 1) for step, size in megabytes.items() if step % 200 == 0})
    assert max(megabytes) == 2000
    assert megabytes[2000] - megabytes[200] < 20
