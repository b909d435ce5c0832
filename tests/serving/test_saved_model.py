import base64
import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import applications, heads, precision
from drw_tf.models import network as models_network
from drw_tf.serving import decoding, folders, saved_model, verification
from tests import small_export


@functools.cache
def model_in(folder):
    return tf.saved_model.load(str(folder))


def signature(made, name):
    return model_in(made.folder).signatures[name]


@pytest.fixture
def _no_decoder(monkeypatch):
    small_export.stand_in(monkeypatch)


@pytest.fixture(scope="module")
def grey_bytes(grey_export):
    return signature(grey_export, "serving_bytes")


@pytest.fixture(scope="module")
def grey_arrays(grey_export):
    return signature(grey_export, "serving_default")


def random_images(shape, rows=5):
    return np.random.default_rng(7).integers(0, 256, (rows, *shape), np.uint8)


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


# What is in the folder


def test_folder_has_assets_and_both_forms(color_export):
    folder = color_export.folder
    assert {path.name for path in folder.iterdir()} <= folders.PARTS
    assert (folder / folders.MARKER).is_file()
    names = (folder / "assets" / "class_names.txt").read_text(encoding="utf-8")
    assert names == "cat\ngroße Ente\ndog, small\n"
    configuration = json.loads((folder / "assets" / "configuration.json").read_text())
    assert configuration == {"dataset": "made up", "seed": 3}
    serving = json.loads((folder / "assets" / "serving.json").read_text())
    assert serving == {
        "image_shape": [16, 20, 3],
        "central_fraction": None,
        "max_megapixels": 50.0,
        "head": "logits",
        "logit_adjustment": {
            "la_prior": "labeled",
            "la_strength": 1.0,
            "subtracted": [-1.0, 0.5, 2.0],
        },
        "temperature": {"value": 2.5, "source": "given"},
    }
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0


def test_signatures_have_the_promised_names_and_types(color_export):
    for name, key, dtype in (
        ("serving_default", "images", tf.uint8),
        ("serving_bytes", "image_bytes", tf.string),
    ):
        answer = signature(color_export, name)
        (spec,) = answer.structured_input_signature[1].values()
        assert (spec.name, spec.dtype) == (key, dtype)
        outputs = {
            key: (spec.dtype, spec.shape[1:]) for key, spec in answer.structured_outputs.items()
        }
        assert outputs == {
            "label": (tf.int64, []),
            "probabilities": (tf.float32, [3]),
            "logits": (tf.float32, [3]),
        }


def test_metadata_signature_says_what_the_assets_say(color_export):
    facts = signature(color_export, "metadata")()
    assert [name.decode() for name in facts["class_names"].numpy()] == list(
        color_export.class_names
    )
    assert json.loads(facts["configuration"].numpy()) == color_export.configuration
    assert json.loads(facts["serving"].numpy())["logit_adjustment"]["la_prior"] == "labeled"
    np.testing.assert_array_equal(facts["subtracted_from_logits"], [-1.0, 0.5, 2.0])
    assert facts["temperature"].numpy() == 2.5


# Answers


def test_answers_are_the_networks_less_the_adjustment_over_the_temperature(color_export):
    images = random_images((16, 20, 3))
    answer = signature(color_export, "serving_default")(images=tf.constant(images))
    network = color_export.network(images / np.float32(255), training=False)["logits"]
    expected = (network.numpy() - [-1.0, 0.5, 2.0]) / 2.5
    np.testing.assert_allclose(answer["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["probabilities"], softmax(expected), atol=1e-6)
    np.testing.assert_array_equal(answer["label"], expected.argmax(1))
    assert (expected.argmax(1) != network.numpy().argmax(1)).all()  # else this shows nothing


def test_b64_of_a_rest_request_answers_like_the_array(grey_export, grey_bytes, grey_arrays):
    images = random_images((8, 8, 1))
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    # TensorFlow Serving turns {"b64": ...} of an input that is a string into its bytes.
    request = json.dumps(
        {"instances": [{"image_bytes": {"b64": base64.b64encode(e).decode()}} for e in encoded]}
    )
    received = [
        base64.b64decode(one["image_bytes"]["b64"]) for one in json.loads(request)["instances"]
    ]
    of_bytes = grey_bytes(image_bytes=tf.constant(received))["logits"]
    of_arrays = grey_arrays(images=tf.constant(images))["logits"]
    np.testing.assert_allclose(of_bytes, of_arrays, atol=1e-6)
    expected = grey_export.network(images / np.float32(255))["logits"]
    np.testing.assert_allclose(of_bytes, expected, atol=1e-5)


def test_an_empty_batch_gives_an_empty_answer(grey_bytes, grey_arrays):
    for answer in (
        grey_bytes(image_bytes=tf.constant([], tf.string)),
        grey_arrays(images=tf.zeros([0, 8, 8, 1], tf.uint8)),
    ):
        assert answer["label"].shape == [0]
        assert answer["logits"].shape == answer["probabilities"].shape == [0, 10]


# Wrong input


def broken_pictures(pictures):
    """name -> (bytes, what the error says); twenty of them."""
    image = pictures.noise("RGB")
    files = {name: pictures.encode(image, name) for name in ("JPEG", "PNG", "GIF", "BMP")}
    made = {
        "nothing": (b"", "not a JPEG, PNG, GIF or BMP"),
        "text": (b"hello", "not a JPEG, PNG, GIF or BMP"),
        "page": (b"<html><img src='cat.jpg'></html>" * 9, "not a JPEG, PNG, GIF or BMP"),
        "zeros": (bytes(5000), "not a JPEG, PNG, GIF or BMP"),
        "WebP": (pictures.encode(image, "WEBP"), "not a JPEG, PNG, GIF or BMP"),
        "TIFF": (pictures.encode(image, "TIFF"), "not a JPEG, PNG, GIF or BMP"),
        "base64": (base64.b64encode(files["PNG"]), "not a JPEG, PNG, GIF or BMP"),
        "JPEG, no header": (files["JPEG"][:20] + b"\xff\xd9", "Invalid JPEG data"),
        "PNG, flipped byte": (
            files["PNG"][:60] + bytes([files["PNG"][60] ^ 255]) + files["PNG"][61:],
            "Invalid PNG data",
        ),
        "BMP of colors": (pictures.encode(image.quantize(), "BMP"), "a palette of colors"),
    }
    for name, file in files.items():
        made[f"{name}, half"] = (file[: len(file) // 2], f"the {name} is truncated")
    made["JPEG, 3 bytes"] = (files["JPEG"][:3], "the JPEG is truncated")
    made["PNG, 8 bytes"] = (files["PNG"][:8], "the PNG is truncated")
    claim = (20_000).to_bytes(4, "big")
    made["PNG, 400 megapixels"] = (
        files["PNG"][:16] + claim * 2 + files["PNG"][24:],
        "20000 x 20000 pixels, at most 50 megapixels",
    )
    start = files["JPEG"].index(b"\xff\xc0") + 5
    made["JPEG, 400 megapixels"] = (
        files["JPEG"][:start] + claim[2:] * 2 + files["JPEG"][start + 4 :],
        "20000 x 20000 pixels, at most 50 megapixels",
    )
    made["GIF, 400 megapixels"] = (
        files["GIF"][:6] + claim[:1:-1] * 2 + files["GIF"][10:],
        "20000 x 20000 pixels, at most 50 megapixels",
    )
    made["BMP, 400 megapixels"] = (
        files["BMP"][:18] + claim[::-1] * 2 + files["BMP"][26:],
        "20000 x 20000 pixels, at most 50 megapixels",
    )
    assert len(made) == 20
    return made


def test_broken_pictures_are_invalid_arguments_that_name_the_cause(pictures, grey_bytes):
    sound = pictures.encode(pictures.noise("L"), "PNG")
    before = grey_bytes(image_bytes=tf.constant([sound]))["logits"].numpy()
    for name, (file, cause) in broken_pictures(pictures).items():
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            grey_bytes(image_bytes=tf.constant([sound, file]))
        assert cause in caught.value.message, name
        if not cause.startswith("Invalid"):
            assert "image 1: " in caught.value.message, name
    after = grey_bytes(image_bytes=tf.constant([sound]))["logits"].numpy()
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 8, 8, 4), (2, 28, 28, 1), (2, 8, 8, 0)])
def test_arrays_of_other_sizes_are_invalid_arguments(grey_arrays, shape):
    got = ", ".join(map(str, shape[1:]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"\[B, 8, 8, 1\], got \[B, {got}\]"):
        grey_arrays(images=tf.zeros(shape, tf.uint8))


def malformed(pictures, number):
    """A file that was sound once; what happened to it depends on `number` alone."""
    random = np.random.default_rng(number)
    file_format = ("JPEG", "PNG", "GIF", "BMP")[number % 4]
    mode = ("RGB", "L", "1")[number // 4 % 3]
    image = pictures.noise("RGB", seed=number).convert(mode)
    file = bytearray(pictures.encode(image, file_format))
    kind = number // 12 % 5
    if kind == 0:
        return bytes(file[: random.integers(2, len(file))])
    if kind == 1:  # bytes anywhere
        for place in random.integers(2, len(file), 12):
            file[place] = random.integers(256)
    elif kind == 2:  # bytes in the header
        for place in random.integers(6, 60, 4):
            file[place] = (0, 255, 127, 128)[random.integers(4)]
    elif kind == 3:  # a piece missing
        start = random.integers(6, len(file) - 10)
        del file[start : start + random.integers(1, 40)]
    else:  # only the beginning is one
        start = random.integers(4, 40)
        file[start:] = random.bytes(300)
    return bytes(file)


@pytest.mark.slow
def test_200_malformed_pictures_leave_the_process_alive(pictures, grey_bytes):
    sound = pictures.encode(pictures.noise("L"), "PNG")
    expected = grey_bytes(image_bytes=tf.constant([sound]))["logits"].numpy()
    refused = 0
    for number in range(200):
        try:
            grey_bytes(image_bytes=tf.constant([malformed(pictures, number)]))
        except tf.errors.InvalidArgumentError:
            refused += 1
        got = grey_bytes(image_bytes=tf.constant([sound]))["logits"].numpy()
        np.testing.assert_array_equal(got, expected, err_msg=f"after {number}")
    # The rest are pictures still: damaged pixels, but a picture.
    assert refused > 100


# Elsewhere


FRESH = """
import contextlib, io, json, sys
sys.modules["drw_tf"] = None  # whoever imports it fails
import numpy as np
import tensorflow as tf
from tensorflow.python.tools import saved_model_cli

folder = sys.argv[1]
images = np.load("images.npy")
loaded = tf.saved_model.load(folder)
encoded = np.array([tf.io.encode_png(image).numpy() for image in images])
np.save("encoded.npy", encoded)
found = {
    "arrays": loaded.signatures["serving_default"](images=tf.constant(images))["logits"],
    "bytes": loaded.signatures["serving_bytes"](image_bytes=tf.constant(encoded))["logits"],
    "keras": tf.keras.models.load_model(f"{folder}/ema.keras")(images / np.float32(255))["logits"],
}

def cli(*words):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        saved_model_cli.create_parser().parse_args(words).func()
    return printed.getvalue()

shown = cli("show", f"--dir={folder}", "--all")
for name, key, file in (
    ("serving_default", "images", "images.npy"), ("serving_bytes", "image_bytes", "encoded.npy")
):
    cli("run", f"--dir={folder}", "--tag_set=serve", f"--signature_def={name}",
        f"--inputs={key}={file}", f"--outdir={name}")
    found["saved_model_cli " + name] = np.load(f"{name}/logits.npy")
found = {name: np.asarray(value).tolist() for name, value in found.items()}
print(json.dumps({"shown": shown, "logits": found}))
"""


def test_a_process_with_tensorflow_alone_gets_the_same_logits(color_export, tmp_path):
    images = random_images((16, 20, 3), rows=3)
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, str(color_export.folder)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name in ("serving_default", "serving_bytes", "metadata"):
        assert f"signature_def['{name}']" in told["shown"]
    raw = color_export.network(images / np.float32(255), training=False)["logits"].numpy()
    assert len(told["logits"]) == 5
    for name, logits in told["logits"].items():
        expected = raw if name == "keras" else (raw - color_export.adjustment) / 2.5
        np.testing.assert_allclose(logits, expected, atol=1e-5, err_msg=name)


def test_keras_file_carries_no_code(grey_export):
    with zipfile.ZipFile(grey_export.folder / "ema.keras") as archive:
        text = archive.read("config.json").decode()
    assert "Lambda" not in text
    assert "drw_tf" not in text


def exported_logits(network, folder, images):
    saved_model.export_saved_model(
        network,
        folder,
        image_shape=images.shape[1:],
        class_names=["a", "b", "c"],
        configuration={},
    )
    loaded = tf.saved_model.load(str(folder))
    return loaded.signatures["serving_default"](images=tf.constant(images))["logits"]


@pytest.mark.usefixtures("_no_decoder")
def test_networks_of_a_strategy_are_exported(two_replicas, tmp_path):
    with two_replicas.scope():
        images = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3)(images)
        x = keras.layers.BatchNormalization(synchronized=True)(x)
        logits = keras.layers.Dense(3)(keras.layers.Flatten()(x))
        network = keras.Model(images, {"logits": logits})
    pixels = random_images((8, 8, 3))
    expected = network(pixels / np.float32(255), training=False)["logits"]
    np.testing.assert_allclose(
        exported_logits(network, tmp_path / "export", pixels), expected, atol=1e-5
    )


@pytest.mark.usefixtures("_no_decoder")
def test_what_was_trained_in_16_bits_is_exported_in_float32(network_of, tmp_path):
    with precision.computing_in("bfloat16"):
        network = network_of((8, 8, 1), 3)
    folder = saved_model.export_saved_model(
        network,
        tmp_path / "export",
        image_shape=(8, 8, 1),
        class_names=("a", "b", "c"),
        configuration={},
    )
    images = random_images((8, 8, 1))
    inputs = images / np.float32(255)
    # Of the same weights.
    expected = network_of((8, 8, 1), 3)(inputs, training=False)["logits"].numpy()
    assert np.abs(network(inputs, training=False)["logits"] - expected).max() > 1e-4
    loaded = tf.saved_model.load(str(folder))
    served = loaded.signatures["serving_default"](images=tf.constant(images))["logits"]
    np.testing.assert_allclose(served, expected, atol=1e-5)
    by_keras = keras.models.load_model(folder / folders.KERAS_FILE, compile=False)
    assert {layer.compute_dtype for layer in by_keras.layers} == {"float32"}


def nested():
    """A network whose backbone is one layer of it, with an operation that Keras made a layer.

    Each call makes it with the same weights.
    """
    drawn = [keras.initializers.GlorotUniform(seed) for seed in range(3)]
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=drawn[0])(images)
    x = x + keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=drawn[1])(x)
    inner = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x), name="inner")
    images = keras.Input((8, 8, 3))
    logits = keras.layers.Dense(3, kernel_initializer=drawn[2], dtype="float32", name="logits")
    return keras.Model(images, {"logits": logits(inner(images))})


def compute_dtypes(network):
    found = set()
    for layer in network.layers:
        inside = isinstance(layer, keras.Model)
        found |= compute_dtypes(layer) if inside else {layer.compute_dtype}
    return found


@pytest.mark.usefixtures("_no_decoder")
def test_layers_of_a_layer_are_exported_in_float32_too(tmp_path):
    with precision.computing_in("bfloat16"):
        network = nested()
    pixels = random_images((8, 8, 3))
    inputs = pixels / np.float32(255)
    expected = nested()(inputs, training=False)["logits"].numpy()
    assert np.abs(network(inputs, training=False)["logits"] - expected).max() > 1e-4
    got = exported_logits(network, tmp_path / "export", pixels)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "computes_in"),
    [
        ("ConvNeXtTiny", "float32"),
        ("ConvNeXtTiny", "bfloat16"),
        ("EfficientNetV2B0", "bfloat16"),
        ("MobileNetV3Small", "bfloat16"),
    ],
)
def test_networks_of_keras_are_exported_in_float32(name, computes_in, tmp_path):
    with precision.computing_in(computes_in):
        backbone = applications.build(name, (32, 32, 3), batch_norm=models_network.BatchNorm())
        logits = keras.layers.Dense(3, dtype="float32", name="logits")
        network = models_network.build_network(backbone, {"logits": logits})
    pixels = random_images((32, 32, 3), rows=2)
    exported_logits(network, tmp_path / "export", pixels)  # compares them with the network's
    path = tmp_path / "export" / folders.KERAS_FILE
    module = importlib.import_module(keras.applications.ConvNeXtTiny.__module__)
    known = {"LayerScale": module.LayerScale}
    loaded = keras.models.load_model(path, custom_objects=known, compile=False)
    assert compute_dtypes(loaded) == {"float32"}


@pytest.mark.usefixtures("_no_decoder")
def test_cosine_heads_are_exported_as_layers_of_keras(tmp_path):
    images = keras.Input((8, 8, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3)(images))
    network = keras.Model(images, {"logits": heads.CosineHead(3)(features)})
    pixels = random_images((8, 8, 3))
    expected = network(pixels / np.float32(255), training=False)["logits"]
    np.testing.assert_allclose(
        exported_logits(network, tmp_path / "export", pixels), expected, atol=1e-5
    )


# Refusals of the exporter


def refused(network, folder, **changed):
    options = {
        "image_shape": (8, 8, 1),
        "class_names": ["a", "b"],
        "configuration": {},
        **changed,
    }
    saved_model.export_saved_model(network, folder, **options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_shape": (8, 8, 3)}, r"image_shape must be the network's \(8, 8, 1\)"),
        ({"class_names": ["a", "b", "c"]}, "class_names must be 2, one a logit, got 3"),
        ({"class_names": ["a", "b\nc"]}, "class names must be one line each"),
        ({"class_names": ["a", ""]}, "class names must be one line each"),
        ({"head": "other"}, r"head must be one of \['features', 'logits'\], got 'other'"),
        ({"logit_adjustment": np.zeros(3)}, "logit_adjustment must be 2 finite numbers"),
        ({"logit_adjustment": np.array([1, np.nan])}, "logit_adjustment must be 2 finite"),
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(network_of, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        refused(network_of((8, 8, 1), 2), tmp_path / "export", **changed)
    assert not list(tmp_path.iterdir())


def test_layers_that_carry_code_are_refused(network_of, tmp_path):
    class Own(keras.layers.Layer):
        pass

    network = network_of((8, 8, 1), 2)
    for layer in (keras.layers.Lambda(lambda x: x), Own()):
        outputs = {**network.output, "logits": layer(network.output["logits"])}
        with pytest.raises(ValueError, match="must be one of Keras' own and no Lambda"):
            refused(keras.Model(network.input, outputs), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_no_decoder")
def test_wrong_logits_stop_the_export_and_leave_the_earlier_one(network_of, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    (folder / folders.MARKER).parent.mkdir(parents=True)
    (folder / folders.MARKER).write_text("{}")
    (folder / "saved_model.pb").write_text("earlier")
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)
    with pytest.raises(folders.ExportError, match=r"logits of saved_model.pb differ by"):
        refused(network_of((8, 8, 1), 2), folder)
    assert (folder / "saved_model.pb").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("wrong", ["saved_model.pb", folders.KERAS_FILE])
def test_the_form_whose_logits_are_wrong_is_named(grey_export, tmp_path, wrong):
    other = keras.models.clone_model(grey_export.network)
    other.set_weights([1.1 * value for value in grey_export.network.get_weights()])
    expected, changed = other, tmp_path / "export"
    shutil.copytree(grey_export.folder, changed)
    if wrong == folders.KERAS_FILE:  # the rest is right
        expected = grey_export.network
        other.save(changed / wrong)
    preparation = decoding.Preparation(grey_export.image_shape)

    def compare(network, folder):
        verification.compare_logits(
            network, "logits", folder, preparation, (np.zeros(10, np.float32), 1.0)
        )

    compare(grey_export.network, grey_export.folder)
    with pytest.raises(folders.ExportError, match=f"^logits of {wrong} differ by"):
        compare(expected, changed)


@pytest.mark.slow
def test_tensorflow_lite_converts_it_unedited_with_its_own_operations_alone(grey_export):
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(grey_export.folder), signature_keys=["serving_default"]
    )
    assert converter.target_spec.supported_ops == {tf.lite.OpsSet.TFLITE_BUILTINS}
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    images = random_images((8, 8, 1), rows=3)
    answer = interpreter.get_signature_runner("serving_default")(images=images)
    expected = grey_export.network(images / np.float32(255), training=False)["logits"]
    np.testing.assert_allclose(answer["logits"], expected, atol=1e-5)


@pytest.mark.usefixtures("_no_decoder")
def test_a_layer_that_keras_does_not_find_by_its_name_is_compared_too(tmp_path):
    # ConvNeXt's own; Keras 2.15 saves it and then looks for it among its layers.
    convnext = sys.modules[keras.applications.ConvNeXtTiny.__module__]
    images = keras.Input((8, 8, 3), name="images")
    scaled = convnext.LayerScale(0.5, 3)(images)
    features = keras.layers.GlobalAveragePooling2D(name="features")(scaled)
    logits = keras.layers.Dense(2, name="logits")(features)
    network = keras.Model(images, {"features": features, "logits": logits})
    folder = saved_model.export_saved_model(
        network,
        tmp_path / "export",
        image_shape=(8, 8, 3),
        class_names=("a", "b"),
        configuration={},
    )
    assert (folder / folders.KERAS_FILE).exists()
