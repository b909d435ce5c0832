"""`drw_tf.data_report`: from a command line to a report and two pictures."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from drw_tf import data_report, output_folder
from drw_tf.data import dataset as records
from drw_tf.report import figures, palette, split_figures, split_report


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    """Own pictures: 4 cats, 2 dogs, 3 unlabeled, 2 to test."""
    places = ["labeled/cat/1", "labeled/cat/2", "labeled/cat/3", "labeled/cat/4"]
    places += ["labeled/dog/1", "labeled/dog/2", "unlabeled/1", "unlabeled/x/2", "unlabeled/3"]
    places += ["test/cat/1", "test/dog/1"]
    for seed, place in enumerate(places):
        save(tmp_path / "photos" / f"{place}.png", seed)
    return tmp_path / "photos"


def lay_out(made, _):
    """All of `figures.save` but pixels and files, which take most of its time."""
    with palette.style():
        made.draw_without_rendering()


@pytest.fixture
def run(photos, tmp_path, capsys, monkeypatch):
    """run(*flags): what is printed and what is written about the photos, but for pictures."""
    monkeypatch.setattr(figures, "save", lay_out)

    def call(*flags):
        own = [f"--{part}_dir={photos}/{part}" for part in ("labeled", "unlabeled", "test")]
        out = tmp_path / "report"
        data_report.main(
            ["data_report", "--dataset=folder", "--image_size=16", *own, f"--out={out}", *flags]
        )
        return capsys.readouterr().out, (out / "data_report.md").read_text(encoding="utf-8")

    return call


def test_digits_are_reported(tmp_path, capsys):
    data_report.main(["data_report", "--dataset=digits", "--seed=1", f"--out={tmp_path}/report"])
    text = capsys.readouterr().out
    # floor(40 * 20 ** (-c / 9)) and floor(80 * 20 ** (-c / 9)).
    assert "- labeled: 131 pictures, R = 20 (40 to 2)" in text
    assert "- unlabeled: 269 pictures, R = 20 (80 to 4)" in text
    assert "| 3     |      14 |        29 |   50 |" in text
    assert "No file is in two parts." in text
    assert "--seed=1" in text
    assert output_folder.check(
        f"{tmp_path}/report", data_report._PAGE, data_report._FIRST_LINE, data_report._PICTURES
    )
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == {"data_report.md", "counts.png", "counts.svg", "samples.png", "samples.svg"}
    with Image.open(tmp_path / "report" / "samples.png") as picture:
        # More than white paper: ten rows of cells.
        assert np.asarray(picture.convert("L")).std() > 30


def test_doubtful_files_are_named(run, photos):
    shutil.copy(photos / "labeled/cat/1.png", photos / "test/cat/copy.png")
    shutil.copy(photos / "labeled/cat/2.png", photos / "unlabeled/again.png")
    (photos / "unlabeled/empty.png").write_bytes(b"")
    (photos / "unlabeled/notes.txt").write_text("no picture")
    dark = np.full([30, 40], 4095, np.uint16)  # all that a camera of 12 bits has
    Image.fromarray(dark).save(photos / "labeled/dog/2.png")
    logger = logging.getLogger("drw_tf")
    before = logger.handlers[:]
    printed, written = run()
    assert (logger.handlers, logger.propagate) == (before, True)
    for text in (printed, written):
        assert "- labeled: 6 pictures, R = 2 (4 to 2)" in text
        assert "- unlabeled: 4 pictures, classes unknown" in text
        assert f"- {photos}/unlabeled/empty.png: the file is empty" in text
        assert "There more than once: 2 pictures, 1 of them in training and test, 0 as" in text
        assert f"{photos}/labeled/cat/1.png (labeled, cat) = {photos}/test/cat/copy.png" in text
        assert "ignored 0 hidden; other files: 1 .txt" in text
        assert (
            f"are black or nearly so, no value above 15 of 255: {photos}/labeled/dog/2.png;" in text
        )
        assert text.count("more than once") == 1
    assert "![samples](samples.png)" in written


def test_a_picture_that_is_damaged_inside_is_named_and_left_out(run, photos):
    place = photos / "labeled/dog/1.png"
    contents = bytearray(place.read_bytes())
    contents[len(contents) // 2] ^= 255
    place.write_bytes(contents)
    for text in run():
        assert f"- {place}: it cannot be decoded" in text
    # By the headers alone the samples at least are looked at.
    for text in run("--decode_all=false"):
        assert "Unreadable files\n\nNone" in text
        assert f"a sample is damaged: {place}: it cannot be decoded" in text


def test_pixels_are_compared_one_picture_at_a_time():
    asked = []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            asked.append(np.size(key))
            return super().__getitem__(key)

    pixels = np.random.default_rng(0).integers(0, 256, [8, 4, 4, 1], np.uint8)
    pixels[6] = pixels[1]
    train, test = (
        records.ArrayImages(part.view(Watched), np.arange(len(part)) % 2)
        for part in (pixels[:5], pixels[5:])
    )
    dataset = records.Dataset("x", ("a", "b"), (4, 4, 1), train, test, True, (0.5,), (0.5,))
    split = records.Split(np.array([0, 1]), np.array([3, 2]), np.array([4]))
    assert data_report._copies(dataset, split) == (
        (
            split_report.Copy("labeled", "b", "training row 1"),
            split_report.Copy("test", "b", "test row 1"),
        ),
    )
    assert set(asked) == {1}


def test_other_views_are_drawn_too_and_copies_need_not_be_looked_for(run, photos):
    shutil.copy(photos / "labeled/cat/1.png", photos / "test/cat/copy.png")
    printed, _ = run("--crop=resized", "--find_copies=false")
    assert "Not looked for (--find_copies=false)." in printed
    assert "pool of the unlabeled stream: 9 pictures, the labeled ones included" in printed


def test_a_method_without_an_unlabeled_stream_has_no_pool_and_no_strong_views(run, monkeypatch):
    seen = []
    draws = split_figures.contact_sheet
    monkeypatch.setattr(
        split_figures, "contact_sheet", lambda *args: seen.append(args) or draws(*args)
    )
    printed, _ = run("--method=supervised", "--randaugment=darp_cifar10")
    assert "pool" not in printed
    ((rows, titles),) = seen
    assert titles == ["labeled pictures", "weak views of the first"]
    assert all(len(row.blocks) == 2 for row in rows)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out={photos}/unlabeled/report"], "--out must lie outside --unlabeled_dir="),
        (["--out={photos}/labeled"], "--out must lie outside --labeled_dir="),
        (["--out={photos}/test/cat/1.png"], "--out must be a folder"),
        (["--labeled_dir={photos}/nowhere"], "nowhere is not a folder"),
        (["--nonsense"], "nonsense"),
        (["--dataset=cifar10", "--labeled_dir=x"], "--labeled_dir is not read by"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run, photos, capsys, flags, message):
    with pytest.raises(SystemExit) as caught:
        run(*(flag.format(photos=photos) for flag in flags))
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("data_report: ")
    assert message in text
    assert text.count("\n") == 1


def test_help_names_its_own_flags_and_the_trainers(capsys):
    with pytest.raises(SystemExit):
        data_report.main(["data_report", "--helpfull"])
    text = capsys.readouterr().out
    assert all(f"--{name}: " in text for name in ("out", "find_copies", "dataset", "labeled_max"))
