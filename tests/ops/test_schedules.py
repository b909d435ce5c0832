import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.ops import schedules

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "lr_schedules.json").read_text())["cases"]


def golden(kind, **wanted):
    for case in CASES:
        inputs = case["inputs"]
        if inputs["kind"] == kind and all(inputs.get(k) == v for k, v in wanted.items()):
            return inputs, case["outputs"]
    raise KeyError((kind, wanted))


def rates(schedule, steps):
    return [schedule(tf.constant(step, tf.int64)).numpy() for step in steps]


def assert_rates(schedule, steps, expected):
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=5e-6, atol=1e-7)


# Learning rates


@pytest.mark.parametrize(("total_steps", "warmup_steps"), [(262144, 0), (1000, 100)])
def test_cosine_7_16_matches_the_published_code(total_steps, warmup_steps):
    inputs, outputs = golden("usb_cosine", num_training_steps=total_steps)
    schedule = schedules.LearningRate("cosine_7_16", 0.03, total_steps, warmup_steps)
    # Beyond the last step that code goes on to zero; this one stays where it ended.
    within = [i for i, step in enumerate(inputs["steps"]) if step <= total_steps]
    assert_rates(
        schedule,
        [inputs["steps"][i] for i in within],
        [outputs["lr"][i] for i in within],
    )


def test_cosine_7_16_stays_at_its_end_as_in_the_published_code():
    inputs, outputs = golden("cos_7_16_images")
    schedule = schedules.LearningRate("cosine_7_16", 0.03, inputs["train_images"])
    assert_rates(schedule, inputs["images_seen"], outputs["lr"])


@pytest.mark.parametrize(
    ("name", "mode", "level"),
    [
        ("cosine_1_16", "halfcos", 1),
        ("cosine_7_16", "halfcos", 7),
        ("cosine", "cos", None),
        ("constant", "const", None),
    ],
)
def test_the_cosine_levels_match_the_published_code(name, mode, level):
    inputs, outputs = golden("crest_schedule", mode=mode, level=level)
    schedule = schedules.LearningRate(name, inputs["base_lr"], inputs["max_step"])
    assert_rates(schedule, inputs["steps"], outputs["lr"])


@pytest.mark.parametrize(
    ("name", "source"), [("step", "darp_supervised"), ("step_ldam", "ldam_drw")]
)
def test_the_step_decays_match_the_published_code(name, source):
    inputs, outputs = golden("step_schedules")
    schedule = schedules.LearningRate(name, inputs["base_lr"], inputs["epochs_total"])
    # The first entries are LDAM's warm-up, which rises once an epoch.
    assert_rates(schedule, inputs["epochs"][2:], outputs[source][2:])


def test_the_decay_at_each_sixth_with_warmup_matches_the_published_code():
    inputs, outputs = golden("imagenet_schedule")
    period = inputs["decay_epochs"] * inputs["steps_per_epoch"]
    warmup_steps = inputs["warmup_epochs"] * inputs["steps_per_epoch"]
    schedule = schedules.LearningRate("step_sixths", inputs["base_lr"], 6 * period, warmup_steps)
    assert_rates(schedule, inputs["steps"], outputs["lr"])


def test_cosine_starts_at_base_halves_in_the_middle_and_ends_at_zero():
    assert_rates(schedules.LearningRate("cosine", 0.4, 100), [0, 50, 100], [0.4, 0.2, 0.0])


def test_staircase_falls_on_the_step_itself():
    got = [
        schedules.staircase(step, 10, fractions=(0.3, 0.5), factor=0.1).numpy()
        for step in (0, 2, 3, 4, 5, 9)
    ]
    np.testing.assert_allclose(got, [1.0, 1.0, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)


@pytest.mark.parametrize("name", list(schedules.SHAPES))
def test_warmup_rises_linearly_from_zero_and_meets_the_schedule(name):
    schedule = schedules.LearningRate(name, 2.0, total_steps=100, warmup_steps=10)
    assert_rates(schedule, [0, 10], [0.0, 2.0])
    if not name.startswith("cosine"):
        assert_rates(schedule, [1, 5], [0.2, 1.0])


@pytest.mark.parametrize("name", list(schedules.SHAPES))
def test_no_learning_rate_ever_rises_or_turns_negative(name):
    got = rates(schedules.LearningRate(name, 0.1, total_steps=40), range(60))
    assert (np.diff(got) <= 1e-9).all()
    assert (np.array(got) >= 0).all()


@pytest.mark.parametrize("name", list(schedules.SHAPES))
def test_a_schedule_restored_from_the_config_of_an_optimizer_is_the_same(name):
    schedule = schedules.LearningRate(name, 0.1, total_steps=50, warmup_steps=5)
    config = json.loads(json.dumps(keras.optimizers.SGD(schedule).get_config()))
    restored = keras.optimizers.schedules.deserialize(config["learning_rate"])
    steps = (0, 3, 20, 45, 50)
    np.testing.assert_array_equal(rates(restored, steps), rates(schedule, steps))


def test_an_optimizer_uses_the_rate_of_its_own_step():
    # Rates of the first three steps with a warm-up of two: 0, 0.05, 0.1.
    variable = tf.Variable(0.0)
    optimizer = keras.optimizers.SGD(schedules.LearningRate("constant", 0.1, 10, 2))
    for expected in (0.0, -0.05, -0.15):
        optimizer.apply_gradients([(tf.constant(1.0), variable)])
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-7)


def test_a_learning_rate_is_the_same_in_graph_mode():
    schedule = schedules.LearningRate("cosine_7_16", 0.03, 1000, 10)
    in_graph = tf.function(schedule.__call__, input_signature=[tf.TensorSpec([], tf.int64)])
    for step in (0, 5, 700):
        got = in_graph(tf.constant(step, tf.int64))
        assert got.dtype == tf.float32
        np.testing.assert_allclose(got, schedule(step), rtol=1e-7)


def test_learning_rate_refuses_an_unknown_name_and_lists_the_known_ones():
    message = r"schedule must be one of constant, cosine, .*, got 'cosin'\."
    with pytest.raises(ValueError, match=message):
        schedules.LearningRate("cosin", 0.1, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 100, 0), r"base must be finite and >= 0, got -0\.1\."),
        ((float("nan"), 100, 0), r"base must be finite and >= 0, got nan\."),
        ((0.1, 0, 0), r"total_steps must be >= 1, got 0\."),
        ((0.1, 100, 100), r"warmup_steps must be in \[0, total_steps = 100\), got 100\."),
        ((0.1, 100, -1), r"warmup_steps must be in \[0, total_steps = 100\), got -1\."),
    ],
)
def test_learning_rate_refuses_impossible_lengths(arguments, message):
    with pytest.raises(ValueError, match=message):
        schedules.LearningRate("constant", *arguments)


# Ramps


def test_sigmoid_and_linear_ramps_match_the_published_code():
    inputs, outputs = golden("ramps", rampup_length=80)
    for name, ramp in [("sigmoid_rampup", "sigmoid"), ("linear_rampup_darp", "linear")]:
        got = [schedules.RAMPS[ramp](step, 200, fraction=0.4) for step in inputs["current"]]
        np.testing.assert_allclose(got, outputs[name], rtol=5e-6)


def test_a_ramp_of_no_length_is_over_at_once_as_in_the_published_code():
    inputs, outputs = golden("ramps", rampup_length=0)
    for name, ramp in [("sigmoid_rampup", "sigmoid"), ("linear_rampup_darp", "linear")]:
        got = [schedules.RAMPS[ramp](step, 200, fraction=0.0) for step in inputs["current"]]
        np.testing.assert_allclose(got, outputs[name])


def test_the_linear_ramp_matches_other_published_code():
    inputs, outputs = golden("usb_warmup")
    got = [schedules.linear_ramp(step, 1000, fraction=0.4) for step in inputs["it"]]
    np.testing.assert_allclose(got, outputs["warmup"], rtol=5e-6)
    inputs, outputs = golden("google_ramps")
    total = inputs["train_images"]
    steps = inputs["images_seen"]
    got = [schedules.linear_ramp(step, total, fraction=0.4) for step in steps]
    np.testing.assert_allclose(got, outputs["meanteacher_vat_warmup"], rtol=5e-6, atol=1e-7)
    fraction = inputs["mixmatch_warmup_images"] / total
    got = [75.0 * schedules.linear_ramp(step, total, fraction) for step in steps]
    np.testing.assert_allclose(got, outputs["mixmatch_ramped_weight"], rtol=5e-6)


@pytest.mark.parametrize("name", list(schedules.RAMPS))
def test_a_ramp_rises_to_one_and_stays(name):
    got = np.array([schedules.RAMPS[name](step, 100, fraction=0.5) for step in range(120)])
    assert (np.diff(got) >= 0).all()
    np.testing.assert_array_equal(got[50:], 1.0)
    assert got.dtype == np.float32


@pytest.mark.parametrize("name", list(schedules.RAMPS))
def test_a_ramp_refuses_a_fraction_outside_its_range(name):
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\], got 40\."):
        schedules.RAMPS[name](3, 100, fraction=40)


# Decay of averaged weights


def test_ema_decay_warms_up_from_a_tenth():
    # (1 + t) / (10 + t): 1/10, 10/19, then 0.9 from t = 80 on.
    got = [schedules.ema_decay_at(step, 0.9, warmup=True) for step in (0, 9, 79, 80, 1000)]
    np.testing.assert_allclose(got, [0.1, 10 / 19, 80 / 89, 0.9, 0.9], rtol=1e-6)


def test_ema_decay_without_warmup_is_constant():
    got = [schedules.ema_decay_at(step, 0.999, warmup=False) for step in (0, 5, 10**6)]
    np.testing.assert_allclose(got, [0.999] * 3, rtol=1e-7)


@pytest.mark.parametrize("decay", [1.0, -0.5])
def test_ema_decay_refuses_a_decay_outside_its_range(decay):
    with pytest.raises(ValueError, match=rf"ema_decay must be in \[0, 1\), got {decay}\."):
        schedules.ema_decay_at(3, decay, warmup=False)
