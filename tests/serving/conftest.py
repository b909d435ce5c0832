"""Pictures, small networks and their exports."""

import io
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image


def noise(mode: str, size: tuple[int, int] = (20, 16), seed: int = 0) -> Image.Image:
    """A picture of random pixels; size is (width, height), as Pillow has it."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(values, mode=None if mode in ("L", "RGB", "RGBA", "LA") else mode)


def encode(image: Image.Image, file_format: str, **options) -> bytes:
    """A file of the picture."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def on_white(encoded: bytes) -> np.ndarray:
    """uint8 [h, w, 3], how Pillow shows the file on white paper."""
    image = Image.open(io.BytesIO(encoded)).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return np.asarray(paper.convert("RGB"))


@pytest.fixture(scope="session")
def pictures():
    """noise, encode, on_white."""
    return SimpleNamespace(noise=noise, encode=encode, on_white=on_white)


def make_network(image_shape, num_classes, head="logits"):
    """A small network of Keras' own layers, weights drawn so that logits differ clearly."""
    from tensorflow import keras

    keras.utils.set_random_seed(5)
    images = keras.Input(image_shape, dtype="float32", name="images")
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(
        num_classes, name=head, kernel_initializer="random_normal", dtype="float32"
    )(features)
    network = keras.Model(images, {"features": features, head: logits}, name="small")
    draw = np.random.default_rng(1)
    network.set_weights([w + 0.3 * draw.random(w.shape, np.float32) for w in network.get_weights()])
    return network


@pytest.fixture(scope="session")
def network_of():
    """make_network."""
    return make_network


def _export(folder: pathlib.Path, image_shape, class_names, **options):
    from drw_tf.serving import saved_model

    network = make_network(image_shape, len(class_names))
    configuration = {"dataset": "made up", "seed": 3}
    saved_model.export_saved_model(
        network,
        folder,
        image_shape=image_shape,
        class_names=class_names,
        configuration=configuration,
        **options,
    )
    return SimpleNamespace(
        network=network,
        folder=folder,
        image_shape=image_shape,
        class_names=class_names,
        configuration=configuration,
    )


@pytest.fixture(scope="session")
def grey_export(tmp_path_factory):
    """An export for pictures of 8 x 8 x 1, ten classes."""
    names = tuple(str(digit) for digit in range(10))
    return _export(tmp_path_factory.mktemp("grey") / "export", (8, 8, 1), names)


ADJUSTMENT = (-1.0, 0.5, 2.0)


@pytest.fixture(scope="session")
def color_export(tmp_path_factory):
    """An export for pictures of 16 x 20 x 3, three classes, logits adjusted and divided."""
    made = _export(
        tmp_path_factory.mktemp("color") / "export",
        (16, 20, 3),
        ("cat", "große Ente", "dog, small"),
        logit_adjustment=np.array(ADJUSTMENT),
        adjustment_metadata={"la_prior": "labeled", "la_strength": 1.0},
        temperature=2.5,
        temperature_metadata={"source": "given"},
    )
    made.adjustment = np.array(ADJUSTMENT)
    return made
