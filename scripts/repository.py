"""Makes `drw_tf` of this repository importable: every script imports this module first.

Python puts the folder of a script on its path, not the one above it.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
