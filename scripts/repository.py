"""Makes `drw_tf` of this repository importable: every script imports this module first.

Python puts the folder of a script on its path, not the one above it. `drw_tf` is imported before
TensorFlow, whose kernels it chooses.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import drw_tf  # noqa: E402, F401
