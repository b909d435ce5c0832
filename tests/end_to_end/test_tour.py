"""The notebook in docs/ runs from its first cell to its last."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "tour.ipynb"
# In a process of its own: a kernel's sockets and event loop are nothing for this one.
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
resources = {"metadata": {"path": sys.argv[3]}}
NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute()
nbformat.write(notebook, sys.argv[2])
"""


def outputs(path):
    """For each cell of code, the kinds of what it put out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        [kind for one in cell["outputs"] for kind in one.get("data", {one["output_type"]: ""})]
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_what_is_shown_was_run_in_order_without_errors():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any("error" in kinds for kinds in outputs(NOTEBOOK))
    assert sum(kinds.count("image/png") for kinds in outputs(NOTEBOOK)) == 3


def test_weights_that_are_shown_are_those_of_the_run():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    shown = [
        line for cell in cells for one in cell.get("outputs", []) for line in one.get("text", [])
    ]
    (weights,) = (line.split("[")[1].rstrip("]\n") for line in shown if line.startswith("weight "))
    record = json.loads((ROOT / "results" / "digits" / "drw_seed0.json").read_text())
    of_run = record["history"][-1]["labeled_weights"]
    assert [float(weight) for weight in weights.split()] == [round(one, 2) for one in of_run]


@pytest.mark.slow
def test_the_tour_runs_and_gives_what_it_shows(tmp_path):
    made = tmp_path / "tour.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), str(made), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert done.returncode == 0, done.stderr[-2000:]

    def without_streams(found):
        return [[kind for kind in kinds if kind != "stream"] for kinds in found]

    assert without_streams(outputs(made)) == without_streams(outputs(NOTEBOOK))
