"""The linear and the cosine head."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import heads, network


def cosine_head(kernel):
    head = heads.CosineHead(np.shape(kernel)[1])
    head.build([None, np.shape(kernel)[0]])
    head.set_weights([np.asarray(kernel, "float32")])
    return head


def cosine_network(num_classes=3):
    x = keras.Input([8], name="images")
    backbone = keras.Model(x, keras.layers.Dense(5, name="backbone")(x))
    return network.build_network(backbone, {"logits": heads.CosineHead(num_classes, scale=30.0)})


def test_dense_head_starts_with_glorot_variance_and_zero_bias():
    head = heads.dense_head(200)
    head.build([None, 300])
    # Glorot: variance 2 / (300 + 200) = 0.004; 60000 draws.
    assert np.std(head.kernel) == pytest.approx(0.004**0.5, rel=0.02)
    np.testing.assert_array_equal(head.bias, np.zeros(200))


def test_cosine_head_matches_the_recorded_numbers(golden):
    case = golden("ldam_head")
    got = cosine_head(case["kernel"])(tf.constant(case["features"]))
    np.testing.assert_allclose(got, case["logits"], rtol=case["rtol"], atol=1e-6)


def test_cosine_head_ignores_the_lengths_of_features_and_directions():
    # Cosines of (3, 4) with (1, 0), (0, 1), (-3, -4).
    features, kernel = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0, -3.0], [0.0, 1.0, -4.0]])
    for scale in (1.0, 1e-3, 1e3):
        got = cosine_head(kernel / scale)(tf.constant(features * scale, tf.float32))
        np.testing.assert_allclose(got, [[0.6, 0.8, -1.0]], rtol=1e-6)


def test_cosine_head_multiplies_by_its_scale():
    head = heads.CosineHead(2, scale=30.0)
    head.build([None, 2])
    head.set_weights([np.eye(2, dtype="float32")])
    # Cosines of (3, 4) with the axes are .6 and .8.
    np.testing.assert_allclose(head(tf.constant([[3.0, 4.0]])), [[18.0, 24.0]], rtol=1e-6)


def test_cosine_head_answers_zero_with_a_finite_gradient_for_zero_features():
    head, features = cosine_head(np.eye(2)), tf.zeros([1, 2])
    with tf.GradientTape() as tape:
        tape.watch(features)
        got = head(features)
    np.testing.assert_array_equal(got, [[0.0, 0.0]])
    assert np.isfinite(tape.gradient(got, features)).all()


def test_cosine_head_starts_with_directions_of_length_one():
    head = heads.CosineHead(6)
    head.build([None, 50])
    np.testing.assert_allclose(np.linalg.norm(head.kernel, axis=0), np.ones(6), rtol=1e-6)
    assert len(head.weights) == 1


def test_network_with_builtin_layers_loads_without_the_cosine_head(tmp_path):
    made = cosine_network()
    x = np.random.RandomState(0).randn(4, 8).astype("float32")
    builtin = heads.with_builtin_layers(made)
    assert not any(isinstance(layer, heads.CosineHead) for layer in builtin.layers)
    builtin.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    for key, value in made(x).items():
        np.testing.assert_allclose(loaded(x)[key], value, rtol=1e-6, atol=1e-5)
    # A copy: training the original later does not reach it.
    before = builtin(x)["logits"].numpy()
    for variable in made.variables:
        variable.assign(variable + 1)
    np.testing.assert_array_equal(builtin(x)["logits"], before)


def test_network_without_cosine_head_is_kept_as_it_is():
    x = keras.Input([8])
    made = network.build_network(
        keras.Model(x, keras.layers.Dense(5)(x)), {"logits": heads.dense_head(3)}
    )
    assert heads.with_builtin_layers(made) is made


def test_cosine_head_itself_is_saved_and_loaded(tmp_path):
    made = cosine_network()
    made.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert isinstance(loaded.get_layer("logits"), heads.CosineHead)
    x = np.ones([1, 8], "float32")
    np.testing.assert_array_equal(loaded(x)["logits"], made(x)["logits"])
