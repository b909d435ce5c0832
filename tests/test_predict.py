"""`drw_tf.predict`: from a folder of pictures to a table."""

import csv
import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from drw_tf import predict

NAMES = ("cat", "große Ente", "dog, small")
CONTENTS = ("1.png", "10.jpg", "2.png", "a b/deep/er/x.webp", "a b/ä.png", "z.jpeg")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An exported network that looks at the central square of files."""
    from tensorflow import keras

    from drw_tf.serving import saved_model

    keras.utils.set_random_seed(3)
    images = keras.Input([16, 16, 3], name="images")
    flat = keras.layers.Flatten(name="features")(keras.layers.AveragePooling2D(4)(images))
    logits = keras.layers.Dense(3, name="logits", kernel_initializer="random_normal")(flat)
    return saved_model.export_saved_model(
        keras.Model(images, {"features": flat, "logits": logits}),
        tmp_path_factory.mktemp("model") / "export",
        image_shape=(16, 16, 3),
        class_names=NAMES,
        configuration={},
        central_fraction=0.875,
        max_megapixels=0.01,
        checks=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _read_once():
    """The export never changes, and reading it takes most of a call's time."""
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.saved_model, "load", functools.cache(tf.saved_model.load))
        yield


def save(path, seed=0, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """A folder of six pictures in four formats, and what is to be ignored."""
    for seed, name in enumerate(CONTENTS):
        save(tmp_path / "photos" / name, seed)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    save(tmp_path / "photos" / ".hidden.png")
    return tmp_path / "photos"


@pytest.fixture
def run(export, folder, tmp_path):
    """run(*flags): the table's rows, from the model and the folder unless flags say other."""

    def call(*flags):
        out = tmp_path / "out" / "predictions.csv"
        arguments = [f"--model={export}", f"--images={folder}", f"--out={out}", *flags]
        predict.main(["predict", *arguments])
        with out.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    return call


@pytest.fixture
def refused(run, capsys):
    """refused(*flags): the one line with which it exits."""

    def call(*flags):
        with pytest.raises(SystemExit) as caught:
            run(*flags)
        assert caught.value.code == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1, text
        assert text.startswith("predict: ")
        return text

    return call


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4, 64])
def test_a_row_for_each_picture_as_serving_bytes_answers(run, folder, export, batch):
    from drw_tf.serving import predictor

    head, *rows = run(f"--batch_size={batch}")
    assert head == [
        "path",
        "label",
        "confidence",
        "probability_cat",
        "probability_große Ente",
        "probability_dog, small",
    ]
    assert [row[0] for row in rows] == [f"{folder}/{name}" for name in CONTENTS]
    readable = [row for row in rows if not row[0].endswith("webp")]
    files = [pathlib.Path(row[0]).read_bytes() for row in readable]
    expected = predictor.Predictor(export).predict_encoded(files)
    assert [row[1] for row in readable] == [NAMES[label] for label in expected.label]
    got = np.array([row[2:] for row in readable], np.float64)
    np.testing.assert_allclose(got[:, 1:], expected.probabilities, atol=2e-6)
    np.testing.assert_allclose(got[:, 0], expected.probabilities.max(1), atol=2e-6)


def test_paths_begin_as_they_were_typed(run, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert [row[0] for row in run("--images=photos/a b")[1:]] == [
        "photos/a b/deep/er/x.webp",
        "photos/a b/ä.png",
    ]
    (row,) = run("--images=photos/1.png")[1:]
    assert row[0] == "photos/1.png"


def test_what_is_no_picture_is_counted(run, folder, caplog):
    (folder / "a.csv").write_text("")
    run()
    assert f"--images={folder}: ignored 1 hidden; other files: 1 .csv, 1 .txt." in caplog.text


def spoil(folder):
    """An empty file, one too large, and one that only decoding finds out."""
    (folder / "empty.png").write_bytes(b"")
    save(folder / "large.png", size=(110, 100))
    save(folder / "wrong.png")
    content = (folder / "wrong.png").read_bytes()
    (folder / "wrong.png").write_bytes(content[:60] + bytes([content[60] ^ 255]) + content[61:])


def test_unreadable_pictures_are_refused_by_name_and_nothing_is_written(refused, folder, tmp_path):
    spoil(folder)
    message = refused()
    assert "2 of 9 pictures cannot be used: " in message
    assert f"{folder}/empty.png: the file is empty; " in message
    assert f"{folder}/large.png: 110 x 100 pixels are more than --max_megapixels=0.01; " in message
    assert message.endswith("; --on_bad_image=skip leaves them out.\n")
    (folder / "empty.png").unlink()
    assert f"{folder}/wrong.png: it cannot be decoded" in refused("--max_megapixels=1")
    assert list((tmp_path / "out").iterdir()) == []


def test_unreadable_pictures_are_left_out_by_name_where_that_is_asked(run, folder, caplog, capsys):
    spoil(folder)
    rows = run("--on_bad_image=skip", "--batch_size=2")[1:]
    assert [row[0] for row in rows] == [f"{folder}/{name}" for name in CONTENTS]
    assert "6 pictures, 3 unreadable left out" in capsys.readouterr().out
    left_out = [record.getMessage() for record in caplog.records[-3:]]
    for name, message in zip(("empty", "large", "wrong"), left_out, strict=True):
        assert message.startswith(f"left out {folder}/{name}.png: ")


def test_an_earlier_table_is_replaced_and_stays_when_a_run_fails(run, refused, folder, tmp_path):
    run()
    (folder / "empty.png").write_bytes(b"")
    refused()
    out = tmp_path / "out" / "predictions.csv"
    assert len(out.read_text().splitlines()) == 7
    assert len(run("--on_bad_image=skip", f"--images={folder}/1.png")) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


def test_a_table_of_nothing_replaces_no_table(run, refused, tmp_path):
    run()
    whole = (tmp_path / "out" / "predictions.csv").read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    spoil(broken)
    for name in ("empty.png", "large.png"):
        (broken / name).unlink()
    message = refused("--on_bad_image=skip", f"--images={broken}")
    assert "none of 1 pictures can be read." in message
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == whole


def test_line_ends_in_a_file_name_neither_tear_the_table_nor_the_log(run, folder, caplog):
    save(folder / "a\rb.png")
    (folder / "c\nd.png").write_bytes(b"")
    rows = run("--on_bad_image=skip")
    assert {len(row) for row in rows} == {6}
    assert f"{folder}/a\rb.png" in [row[0] for row in rows]
    assert f"left out {folder}/c\\nd.png: the file is empty" in caplog.text


@pytest.mark.parametrize("call", [1, 2])
def test_memory_that_runs_out_is_one_line(refused, tmp_path, monkeypatch, call):
    import tensorflow as tf

    from drw_tf.serving import predictor

    whole, calls = predictor.Predictor.predict, []

    def predict_(self, images):
        calls.append(len(images))
        if len(calls) == call:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nat step")
        return whole(self, images)

    monkeypatch.setattr(predictor.Predictor, "predict", predict_)
    message = refused("--batch_size=3")
    assert "memory ran out at --batch_size=3, a smaller one needs less (OOM when" in message
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_nothing_but_a_table_is_replaced(refused, folder, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\n1.png,cat\n")
    assert "must be new or an earlier table of predictions" in refused(f"--out={labels}")
    assert "must be new or an earlier table" in refused(f"--out={folder}/1.png")
    assert "must be a file" in refused(f"--out={tmp_path}")
    os.mkfifo(tmp_path / "pipe")
    assert "is a device or a pipe" in refused(f"--out={tmp_path}/pipe")
    assert f"--out={labels}/table.csv cannot be written: " in refused(f"--out={labels}/table.csv")
    assert labels.read_text() == "path,label\n1.png,cat\n"


def test_models_of_others_are_refused(refused, export, tmp_path):
    import tensorflow as tf

    stranger = tmp_path / "stranger"
    tf.saved_model.save(tf.Module(), str(stranger))
    expected = f"a folder that drw_tf exported, {stranger} has no assets/serving.json."
    assert expected in refused(f"--model={stranger}")
    asset = stranger / "assets" / "serving.json"
    asset.parent.mkdir(exist_ok=True)
    asset.write_text("[1]")
    assert "does not say what it should" in refused(f"--model={stranger}")
    asset.write_text(json.dumps({"image_shape": 3, "central_fraction": 1, "max_megapixels": 9}))
    assert "serving.json: " in refused(f"--model={stranger}")
    asset.write_text((export / "assets" / "serving.json").read_text())
    assert "cannot be loaded as an exported model" in refused(f"--model={stranger}")
    assert f"{export} is one." in refused(f"--model={export.parent}")


def test_folders_without_pictures_are_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no picture" in refused(f"--images={tmp_path / 'empty'}")
    assert "must be a folder or a file" in refused(f"--images={tmp_path / 'nowhere'}")
    assert "--images must be given: folder of pictures" in refused("--images=")
    for size in ("0", "9" * 20):
        line = refused(f"--batch_size={size}")
        assert f"--batch_size must be a whole number in [1, 1000000000], got {size}." in line
    assert "--max_megapixels must be" in refused("--max_megapixels=0")


def test_a_wrong_model_is_refused_before_tensorflow_is_imported():
    code = (
        "import sys\n"
        "from drw_tf import predict\n"
        "try:\n    predict.main(['predict', '--model=/nowhere', '--images=/tmp'])\n"
        "finally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("predict: --model must be")
    assert done.stderr.count("\n") == 1


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit):
        predict.main(["predict", "--help"])
    text = capsys.readouterr().out
    for name in ("model", "images", "out", "batch_size", "on_bad_image", "max_megapixels"):
        assert f"--{name}: " in text


def test_ctrl_c_leaves_no_table(run, tmp_path, monkeypatch, capsys):
    from drw_tf.serving import predictor

    called = []

    def interrupted(*args, **kwargs):
        called.append(1)
        if len(called) == 3:  # of a black picture, of a first batch, of a second one
            raise KeyboardInterrupt
        return predict_batch(*args, **kwargs)

    predict_batch = predictor.Predictor.predict
    monkeypatch.setattr(predictor.Predictor, "predict", interrupted)
    with pytest.raises(SystemExit) as caught:
        run("--batch_size=2")
    assert caught.value.code == 130
    assert "predict: interrupted." in capsys.readouterr().err
    assert len(called) == 3
    assert not list((tmp_path / "out").iterdir())
