import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import checks


def test_a_number_that_breaks_its_rule_is_named_in_the_message():
    with pytest.raises(ValueError, match=r"tau must be < 3, got 4\.0\."):
        checks.require("tau", tf.constant([1.0, 4.0]), lambda known: known < 3, "< 3")


def test_numbers_that_keep_their_rule_pass():
    checks.require("tau", tf.constant([1.0, 2.0]), lambda known: known < 3, "< 3")
    checks.require("tau", tf.zeros([0]), lambda known: known < 3, "< 3")


def test_a_number_known_only_to_the_running_graph_is_not_checked():
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def in_graph(value):
        return checks.at_least(0, "value", value)

    assert in_graph(-1.0).numpy() == -1.0


def test_a_constant_inside_a_graph_is_checked_when_it_is_traced():
    @tf.function
    def in_graph():
        return checks.at_least(0, "value", tf.constant([2.0, -1.0]))

    with pytest.raises(ValueError, match=r"value must be >= 0, got -1\.0\."):
        in_graph()


def test_python_floats_keep_their_float64_digits():
    assert checks.as_float64(0.1).numpy() == 0.1
    assert checks.as_float64([2.0**24 + 1.0]).numpy() == [2.0**24 + 1.0]


@pytest.mark.parametrize("value", [tf.Variable(3), np.int64(3), tf.constant(3.0), 3])
def test_every_kind_of_number_becomes_float64(value):
    got = checks.as_float64(value)
    assert got.dtype == tf.float64
    assert got.numpy() == 3.0


def test_at_least_refuses_what_is_not_a_number():
    with pytest.raises(ValueError, match=r"value must be >= 1, got nan\."):
        checks.at_least(1, "value", [2.0, float("nan")])
