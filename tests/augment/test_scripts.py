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
def test_the_contact_sheet_refuses_a_folder_that_is_not_there_in_one_line(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "contact_sheet.py", f"--images={tmp_path}/none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = f"contact_sheet: --images={tmp_path}/none is not a folder.\n"
    assert (done.returncode, done.stderr) == (2, line)


@pytest.mark.slow
def test_the_benchmark_prints_a_row_for_each_way():
    small = ("--sizes=8", "--channels=1", "--batch_size=6", "--rounds=1", "--batches=1")
    table = run("benchmark_augment.py", *small, "--policies=digits")
    ways = [line.split("|")[3].strip() for line in table.splitlines() if line.startswith("| dig")]
    assert ways[0] == "one image at a time"
    assert set(ways[2:]) == {"batched, drawn", "batched, composed"}


@pytest.mark.slow
def test_the_input_benchmark_prints_a_row_for_each_comparison():
    step = ("--step_settings=digits", "--step_seconds=1", "--step_rounds=1")
    small = ("--step_flags=batch_size=4,steps_per_execution=2", "--jpegs=3", "--jpeg_rounds=1")
    files = ("--memory_files=20,40", "--memory_steps=1")
    table = run("benchmark_input.py", "--parts=step,files", *step, *small, *files)
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")]
    measured = [row[0].split(",")[0].strip() for row in rows[2:]]
    assert measured == [
        "DRw step",
        "bare decode_jpeg",
        "decode-and-crop",
        "decode-and-crop",
        "decode all",
        "ImageNet pipeline",
        "ImageNet pipeline",
    ]
    assert float(rows[3][3].split()[0]) == 1.0
