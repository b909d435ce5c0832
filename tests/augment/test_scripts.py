import pathlib
import subprocess
import sys

import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]


def run(script, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_contact_sheet_shows_pictures_of_a_folder(tmp_path):
    (tmp_path / "below").mkdir()
    Image.new("RGB", (20, 14), (250, 3, 3)).save(tmp_path / "below" / "red.png")
    sheet = tmp_path / "sheet.png"
    run("contact_sheet.py", f"--images={tmp_path}", "--side=8", "--zoom=1", f"--output={sheet}")
    colors = {color for _, color in Image.open(sheet).getcolors(10000)}
    # The picture, and its inverse.
    assert {(250, 3, 3), (5, 252, 252)} <= colors


@pytest.mark.slow
def test_the_benchmark_prints_a_row_for_each_way():
    small = ("--sizes=8", "--channels=1", "--batch_size=6", "--rounds=1", "--batches=1")
    table = run("benchmark_augment.py", *small, "--policies=digits")
    ways = [line.split("|")[3].strip() for line in table.splitlines() if line.startswith("| dig")]
    assert ways[0] == "one image at a time"
    assert set(ways[2:]) == {"batched, drawn", "batched, composed"}
