"""Batch normalisation, the first layer, and how heads are put on a backbone."""

import contextlib
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import heads, network, registry

PLAIN = ((0.0,), (1.0,))


@contextlib.contextmanager
def policy(name):
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


def small(normalization=PLAIN, **arguments):
    return registry.build_backbone(
        "small_resnet",
        (8, 8, 1),
        batch_norm=network.BatchNorm(**arguments),
        normalization=normalization,
    )


def images(rows=3, seed=0, channels=1):
    return np.random.RandomState(seed).rand(rows, 8, 8, channels).astype("float32")


def test_batch_norm_constants_match_hand_computed_numbers():
    layer = network.BatchNorm(momentum=0.75, epsilon=3.0).layer("bn")
    # Mean 2, variance ((0 - 2)^2 + (4 - 2)^2) / 2 = 4; sqrt(4 + 3) = sqrt(7).
    got = layer(tf.constant([[0.0], [4.0]]), training=True)
    np.testing.assert_allclose(got, [[-2 / 7**0.5], [2 / 7**0.5]], rtol=1e-6)
    # 0.75 * 0 + 0.25 * 2 and 0.75 * 1 + 0.25 * 4.
    np.testing.assert_allclose(layer.moving_mean, [0.5], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [1.75], rtol=1e-6)


@pytest.mark.parametrize(("synchronized", "variance"), [(False, 2.0), (True, 1.0)])
def test_only_the_unsynchronized_batch_norm_applies_bessels_correction(synchronized, variance):
    layer = network.BatchNorm(0.5, 1e-3, synchronized).layer("bn")
    # Values 0 and 2 in images of one pixel: variance 1, times n / (n - 1) = 2.
    layer(tf.constant([0.0, 2.0], shape=[2, 1, 1, 1]), training=True)
    np.testing.assert_allclose(layer.moving_variance, [0.5 * 1 + 0.5 * variance], rtol=1e-6)


def test_synchronized_batch_norm_normalises_over_both_replicas(two_replicas):
    with two_replicas.scope():
        layer = network.BatchNorm(0.5, 1e-9, synchronized=True).layer("bn")
        layer.build([None, 1, 1, 1])
    values = tf.constant([[0.0, 1.0], [6.0, 9.0]])  # Mean 4, variance (16 + 9 + 4 + 25) / 4.

    @tf.function
    def step():
        context = tf.distribute.get_replica_context
        return two_replicas.run(
            lambda: layer(
                tf.reshape(values[context().replica_id_in_sync_group], [2, 1, 1, 1]), training=True
            )
        )

    got = np.ravel([part.numpy() for part in two_replicas.experimental_local_results(step())])
    np.testing.assert_allclose(got, (np.array([0, 1, 6, 9]) - 4) / 13.5**0.5, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [2.0], rtol=1e-6)


def test_given_batch_norm_constants_replace_the_published_ones_one_by_one():
    filled = network.BatchNorm(epsilon=0.5, synchronized=True).filled(0.9, 1e-5)
    assert filled == network.BatchNorm(0.9, 0.5, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, r"momentum must be in \[0, 1\), got -0.1"),
        ({"epsilon": 0.0}, "epsilon must be > 0, got 0.0"),
    ],
)
def test_batch_norm_refuses_constants_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        network.BatchNorm(**arguments)


def test_every_batch_norm_of_a_backbone_has_the_given_constants():
    layers = [
        layer
        for layer in small(momentum=0.123, epsilon=0.456, synchronized=True).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(layers) == 5  # One in the stem, two in each block.
    for layer in layers:
        assert (layer.momentum, layer.epsilon, layer.synchronized) == (0.123, 0.456, True)


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ((0.5, 0.25, 0.0), (0.25, 0.5, 1.0), [[2.0, 1.5, 1.0]]),
        ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), [[2.0, 2.0, 2.0]]),
    ],
)
def test_first_layer_subtracts_the_mean_and_divides_by_the_deviation(mean, std, expected):
    got = network.normalization_layer(mean, std)(tf.ones([1, 3]))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_features_do_not_depend_on_the_unit_of_the_images():
    scaled, plain = small(((0.25,), (0.5,))), small()
    plain.set_weights(scaled.get_weights())
    x = images()
    np.testing.assert_allclose(scaled(x), plain((x - 0.25) / 0.5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("normalization", "message"),
    [
        (((0.5, 0.5, 0.5), (1.0, 1.0, 1.0)), "must have 1 numbers for images of shape"),
        (((0.5,), (1.0, 1.0)), "one number a channel"),
        (((0.5,), (0.0,)), "std must be positive"),
        (((0.5,), (float("nan"),)), "std must be positive"),
    ],
)
def test_normalization_that_does_not_fit_is_refused(normalization, message):
    with pytest.raises(ValueError, match=message):
        small(normalization)


def test_kernels_start_normal_with_variance_two_over_fan_out():
    kernel = network.kernel_initializer()([3, 3, 64, 128]).numpy()
    deviation = (2 / (3 * 3 * 128)) ** 0.5
    # 73728 draws: the standard error of a deviation is 0.26 %.
    assert kernel.std() == pytest.approx(deviation, rel=0.02)
    assert abs(kernel.mean()) < 0.02 * deviation
    # Not cut at two deviations, where 0.87963 of the deviation would be left.
    assert np.abs(kernel).max() > 2 / 0.87963 * deviation


def test_two_initializers_draw_different_kernels():
    first, second = (network.kernel_initializer()([3, 3, 4, 4]).numpy() for _ in range(2))
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize("even", [True, False])
def test_even_padding_centres_strided_kernels_on_the_pixels_of_the_shortcut(even):
    # An image whose pixel is its column number, a kernel that copies its centre.
    x = keras.Input([4, 4, 1])
    y = network.convolution(x, 1, 3, 2, name="conv", even_padding=even)
    model = keras.Model(x, y)
    kernel = np.zeros([3, 3, 1, 1])
    kernel[1, 1] = 1
    model.set_weights([kernel])
    columns = np.tile(np.arange(4.0), [4, 1])[None, :, :, None]
    expected = [0, 2] if even else [1, 3]
    np.testing.assert_array_equal(model(columns)[0, :, :, 0], [expected, expected])


def test_network_answers_features_and_one_entry_a_head():
    made = network.build_network(
        small(), {"logits": heads.dense_head(7), "rotation": heads.dense_head(4, name="rotation")}
    )
    got = made(images())
    assert {key: tuple(value.shape) for key, value in got.items()} == {
        "features": (3, 64),
        "logits": (3, 7),
        "rotation": (3, 4),
    }
    kernel, bias = made.get_layer("logits").get_weights()
    np.testing.assert_allclose(got["logits"], got["features"] @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_and_variables_are_float32_under_mixed_precision(name):
    with policy(name):
        made = network.build_network(
            small(), {"logits": heads.dense_head(7), "cosine": heads.CosineHead(7, name="cosine")}
        )
    got = made(images())
    assert {value.dtype for value in got.values()} == {tf.float32}
    assert {variable.dtype for variable in made.variables} == {tf.float32}
    assert made.get_layer("block1_1_conv").compute_dtype == name.removeprefix("mixed_")
    assert made.get_layer("normalization").compute_dtype == "float32"


def test_head_that_would_answer_in_half_precision_is_refused():
    with policy("mixed_bfloat16"):
        backbone, head = small(), keras.layers.Dense(7)
        with pytest.raises(ValueError, match=r"'logits' must answer in float32.*got bfloat16"):
            network.build_network(backbone, {"logits": head})


def test_head_must_not_take_the_name_of_the_features():
    with pytest.raises(ValueError, match="must not be called 'features'"):
        network.build_network(small(), {"features": heads.dense_head(7)})


def test_saved_network_needs_no_class_but_those_of_keras(tmp_path):
    made = network.build_network(small(), {"logits": heads.dense_head(7)})
    made(images(rows=8), training=True)  # Moves the statistics off their start.
    file = tmp_path / "network.keras"
    made.save(file)

    classes = []
    with zipfile.ZipFile(file) as archive:
        json.loads(archive.read("config.json"), object_hook=classes.append)
    modules = {entry.get("module") for entry in classes if entry and "module" in entry}
    assert modules
    assert all(module.startswith("keras") for module in modules)

    loaded = keras.models.load_model(file)
    for key, value in made(images()).items():
        np.testing.assert_array_equal(loaded(images())[key], value)
