"""The contact sheet where something is wrong; what it shows: tests/augment/test_scripts.py."""

import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path):
    """A folder of one sound picture and one that is cut off."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("cut", "sound"):
        Image.new("RGB", (20, 14), (250, 3, 3)).save(folder / f"{name}.png")
    cut = folder / "cut.png"
    cut.write_bytes(cut.read_bytes()[:40])
    return folder


@pytest.mark.slow
def test_a_damaged_picture_is_left_out_and_the_sheets_folder_is_made(run, pictures, tmp_path):
    sheet = tmp_path / "new" / "sheet.png"
    flags = ("--number=2", "--side=8", "--zoom=1")
    said = run("contact_sheet.py", f"--images={pictures}", f"--output={sheet}", *flags)
    assert f"left out {pictures}/cut.png: it cannot be decoded" in said
    assert said.endswith(f"wrote {sheet}\n")
    with Image.open(sheet) as made:
        assert (250, 3, 3) in {color for _, color in made.getcolors(10000)}


@pytest.mark.slow
def test_a_seed_beyond_the_digits_begins_with_them_again(run, tmp_path):
    sheet = tmp_path / "sheet.png"
    flags = ("--number=1", "--zoom=1", f"--seed={2**31 - 1}")
    assert "wrote" in run("contact_sheet.py", f"--output={sheet}", *flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--images={pictures}"], "--images={pictures} has no picture that can be decoded.\n"),
        (["--output={pictures}/cut.png/x.png"], "--output={pictures}/cut.png/x.png cannot be "),
        (["--output={pictures}/x.gif"], "--output must be a file whose name ends in .png, got "),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, pictures, flags, said):
    (pictures / "sound.png").unlink()
    words = [flag.format(pictures=pictures) for flag in flags]
    if not words[0].startswith("--output"):
        words.append(f"--output={pictures.parent}/x.png")
    line = run("contact_sheet.py", *words, code=2)
    assert line.startswith(f"contact_sheet: {said.format(pictures=pictures)}")
    assert line.count("\n") == 1
