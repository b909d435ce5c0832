import shutil

import numpy as np
import pytest

from drw_tf.serving import predictor


@pytest.fixture(scope="module")
def grey(grey_export):
    return predictor.Predictor(grey_export.folder, batch=3)


def images(rows):
    return np.random.default_rng(2).integers(0, 256, (rows, 8, 8, 1), np.uint8)


def test_facts_of_the_model(grey, grey_export, color_export):
    assert grey.class_names == grey_export.class_names
    assert grey.configuration == grey_export.configuration
    assert grey.image_shape == (8, 8, 1)
    assert grey.logit_adjustment is None
    assert grey.temperature == 1.0
    adjusted = predictor.Predictor(color_export.folder)
    assert adjusted.class_names == ("cat", "große Ente", "dog, small")
    assert adjusted.logit_adjustment["subtracted"] == [-1.0, 0.5, 2.0]
    assert adjusted.temperature == 2.5


@pytest.mark.parametrize("rows", [0, 1, 3, 7])
def test_batches_are_put_together_in_order(grey, grey_export, rows):
    got = grey.predict(images(rows))
    expected = np.zeros([0, 10])
    if rows:
        expected = grey_export.network(images(rows) / np.float32(255))["logits"].numpy()
    assert got.logits.shape == got.probabilities.shape == (rows, 10)
    np.testing.assert_allclose(got.logits, expected, atol=1e-5)
    np.testing.assert_array_equal(got.label, got.probabilities.argmax(1))


def test_encoded_pictures_answer_like_arrays(grey, pictures):
    from PIL import Image

    encoded = [pictures.encode(Image.fromarray(one[..., 0]), "PNG") for one in images(7)]
    got, expected = grey.predict_encoded(encoded), grey.predict(images(7))
    np.testing.assert_allclose(got.logits, expected.logits, atol=1e-6)
    assert grey.predict_encoded([]).label.shape == (0,)


def test_the_row_of_a_bad_picture_is_counted_over_batches(grey, pictures):
    sound = pictures.encode(pictures.noise("L"), "PNG")
    with pytest.raises(ValueError, match=r"^image 4: not a JPEG, PNG, GIF or BMP picture\.$"):
        grey.predict_encoded([sound] * 4 + [b"text"])
    flipped = sound[:60] + bytes([sound[60] ^ 255]) + sound[61:]
    with pytest.raises(ValueError, match=r"^a picture from image 3 on: Invalid PNG data"):
        grey.predict_encoded([sound] * 4 + [flipped])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros([2, 8, 8, 1]), r"images must be uint8 \[N, H, W, Ch\], got float64"),
        (np.zeros([8, 8, 1], np.uint8), r"got uint8 \[8, 8, 1\]"),
        (np.zeros([2, 8, 8, 3], np.uint8), r"^images must be uint8 \[B, 8, 8, 1\], got"),
    ],
)
def test_arrays_that_are_no_such_pictures_are_refused(grey, bad, message):
    with pytest.raises(ValueError, match=message):
        grey.predict(bad)


def test_folders_without_an_export_are_refused(tmp_path, grey_export):
    with pytest.raises(ValueError, match=r"must be an exported model, it has no saved_model.pb"):
        predictor.Predictor(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be loaded as an exported model"):
        predictor.Predictor(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be loaded as an exported model"):
        predictor.Predictor(tmp_path)
    cut = tmp_path / "cut"
    shutil.copytree(grey_export.folder, cut)
    (variables,) = (cut / "variables").glob("*.data-*")
    variables.write_bytes(variables.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{cut} cannot be loaded as an exported model"):
        predictor.Predictor(cut)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        predictor.Predictor(grey_export.folder, batch=0)
