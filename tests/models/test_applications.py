"""Networks of keras.applications: their preprocessing, constants and weights."""

import functools
import importlib
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import config
from drw_tf.models import applications, heads, network, registry
from drw_tf.training import assembly

SHAPE = (32, 32, 3)


def build(name, image_shape=SHAPE, init_weights="none", **arguments):
    return registry.build_backbone(
        f"applications/{name}",
        image_shape,
        batch_norm=network.BatchNorm(**arguments),
        normalization=((0.0,) * image_shape[-1], (1.0,) * image_shape[-1]),
        init_weights=init_weights,
    )


@functools.cache
def mobile_net():
    return build("MobileNet")


def layers_of(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def images(rows=2, channels=3):
    return np.random.RandomState(0).rand(rows, *SHAPE[:2], channels).astype("float32")


def module_of(name):
    return importlib.import_module(getattr(keras.applications, name).__module__)


@pytest.mark.parametrize("name", applications.names())
def test_preprocessing_equals_that_of_the_networks_own_module(name):
    x = keras.Input(SHAPE)
    mode = applications.preprocessing_mode(name)
    model = keras.Model(x, applications.preprocess(x, mode))
    expected = module_of(name).preprocess_input(images() * 255)
    np.testing.assert_allclose(model(images()), expected, rtol=1e-5, atol=1e-4)


def test_grey_images_are_repeated_to_three_channels():
    x = keras.Input((*SHAPE[:2], 1))
    model = keras.Model(x, applications.preprocess(x, "caffe"))
    grey = images(channels=1)
    expected = module_of("VGG16").preprocess_input(np.repeat(grey * 255, 3, axis=-1))
    np.testing.assert_allclose(model(grey), expected, rtol=1e-5, atol=1e-4)


def test_features_equal_those_of_keras_whose_weights_come_from_a_file(tmp_path):
    original = keras.applications.MobileNet(
        include_top=False, pooling="avg", weights=None, input_shape=SHAPE
    )
    original.save_weights(tmp_path / "notop.h5")
    model = build("MobileNet", init_weights=str(tmp_path / "notop.h5"))
    prepared = keras.applications.mobilenet.preprocess_input(images() * 255)
    np.testing.assert_allclose(model(images()), original(prepared), rtol=1e-4, atol=1e-5)
    assert model.output_shape == (None, 1024)


def test_batch_norm_keeps_its_constants_where_none_are_given():
    # MobileNet in Keras takes the defaults of the layer: momentum 0.99, epsilon 1e-3.
    norms = layers_of(mobile_net(), keras.layers.BatchNormalization)
    assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {(0.99, 1e-3, False)}


def test_given_batch_norm_constants_reach_every_layer_and_no_weight_changes(tmp_path):
    mobile_net().layers[-1].save_weights(tmp_path / "notop.h5")
    file = str(tmp_path / "notop.h5")
    model = build("MobileNet", init_weights=file, momentum=0.8, synchronized=True)
    norms = layers_of(model, keras.layers.BatchNormalization)
    assert len(norms) == 27  # One after the stem, two in each of 13 blocks.
    assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {(0.8, 1e-3, True)}
    for got, expected in zip(model.get_weights(), mobile_net().get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_batch_norm_constants_are_refused_without_batch_norm():
    with pytest.raises(ValueError, match=r"--batch_norm_momentum=0.9 must be left out: .*VGG16"):
        build("VGG16", momentum=0.9)
    with pytest.raises(ValueError, match=r"--sync_batch_norm must be left out: .*VGG16"):
        build("VGG16", synchronized=True)


def from_flags(name, **given):
    """The backbone that a command line gives."""
    flags = config.resolve({"model": f"applications/{name}", **given})
    dataset = types.SimpleNamespace(image_shape=SHAPE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return assembly.network_builder(flags, dataset)({"logits": lambda: heads.dense_head(7)})


def test_no_protocol_changes_the_constants_of_a_published_network():
    norms = layers_of(from_flags("MobileNet"), keras.layers.BatchNormalization)
    assert {(n.momentum, n.epsilon) for n in norms} == {(0.99, 1e-3)}


def test_a_network_without_batch_norm_is_built_from_the_command_line():
    made = from_flags("VGG16")
    assert not layers_of(made, keras.layers.BatchNormalization)
    with pytest.raises(ValueError, match="--batch_norm_epsilon=1e-05 must be left out"):
        from_flags("VGG16", batch_norm_epsilon=1e-5)


def test_adapted_normalization_becomes_constants_that_survive_a_copy():
    x = keras.Input([3])
    adapted = keras.layers.Normalization()
    model = keras.Model(x, keras.layers.Dense(2)(adapted(x)))
    adapted.adapt(np.array([[0.0, 1.0, 2.0], [2.0, 5.0, 8.0]]))  # Means 1, 3, 5; std 1, 2, 3.
    customized = applications._customize(model, network.BatchNorm())
    assert not layers_of(customized, keras.layers.Normalization)
    assert {w.dtype for w in customized.variables} == {tf.float32}
    batch = np.array([[2.0, -1.0, 8.0]])
    np.testing.assert_allclose(customized(batch), model(batch), rtol=1e-5)
    kernel, bias = customized.get_weights()
    np.testing.assert_allclose(customized(batch), [[1.0, -2.0, 1.0]] @ kernel + bias, rtol=1e-5)


def test_network_of_keras_is_saved_and_loaded_by_keras_alone(tmp_path):
    made = network.build_network(mobile_net(), {"logits": heads.dense_head(7)})
    made.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(images())["logits"], made(images())["logits"])


def test_blue_green_red_order_is_saved_and_loaded_by_keras_alone(tmp_path):
    x = keras.Input(SHAPE)
    model = keras.Model(x, applications.preprocess(x, "caffe"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images()), model(images()))


def test_mixed_precision_reaches_the_network_and_not_its_outputs():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        made = network.build_network(build("MobileNet"), {"logits": heads.dense_head(7)})
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {output.dtype.name for output in made.output.values()} == {"float32"}
    convolutions = layers_of(made, keras.layers.Conv2D)
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}


def test_imagenet_weights_that_cannot_be_downloaded_are_explained(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".keras" / "models"
    folder.parent.mkdir()
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(
        ValueError,
        match=rf"^--init_weights=imagenet: .*Get https://\S+no_top\.h5 and put it into {folder}",
    ):
        build("MobileNet", init_weights="imagenet")
    # Keras itself looks there.
    (folder / "there.h5").touch()
    there = keras.utils.get_file("there.h5", "https://nowhere.invalid", cache_subdir="models")
    assert there == str(folder / "there.h5")


def test_images_too_small_for_the_network_are_refused():
    with pytest.raises(ValueError, match="MobileNet cannot be built for images of 8x8"):
        build("MobileNet", (8, 8, 1))


def test_unknown_application_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"one of applications/ConvNeXtBase.*got 'applications/X'"):
        build("X")
