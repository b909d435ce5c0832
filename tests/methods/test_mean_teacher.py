"""Whole Mean Teacher steps, Adam and average included, against the published code's."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import mean_teacher
from drw_tf.training import optimizer as optimizers

HYPER = {"lambda_u": 50.0, "ramp": "linear", "ramp_fraction": 0.4}


@pytest.mark.parametrize("name", ["google_steps_a", "google_steps_b"])
def test_steps_equal_the_published_codes(golden, bench, name):
    (case,) = [case for case in golden("mean_teacher")["cases"] if case["id"] == name]
    inputs = case["inputs"]
    method = bench.make(
        mean_teacher.MeanTeacher,
        lambda: bench.linear_network(inputs["W0"], inputs["b0"]),
        HYPER | {"lambda_u": inputs["consistency_weight"], "ramp_fraction": inputs["warmup_pos"]},
        counts=np.ones(len(inputs["b0"])),
        # That code counts images.
        steps=inputs["train_images"] / inputs["batch"],
        optimizer=optimizers.build("adam", inputs["adam_lr"]),
    )
    method.average.decay = inputs["ema"]
    close = {"rtol": 2e-4, "atol": 2e-6}
    for number, expected in enumerate(case["outputs"]["steps"]):
        seen = expected["images_seen_before"]
        views = np.asarray(inputs["y_views_teacher_student"][number])
        batch = bench.batch(
            {"weak": inputs["x"][number]},
            inputs["labels"][number],
            {"weak": views[:, 0], "weak_2": views[:, 1]},
        )
        # The ramp follows the images seen so far, Adam its own count of steps.
        ramp = min(seen / (inputs["warmup_pos"] * inputs["train_images"]), 1)
        if seen == inputs["batch"] * number:
            terms, _ = method.loss_terms(batch, method.prepare(batch))
            weighted = 50 * ramp * expected["loss_mt"]
            np.testing.assert_allclose(terms["loss_unlabeled"], weighted, **close)
        else:
            method.hyper._values |= {"ramp_fraction": 0.0, "lambda_u": 50.0 * ramp}
        method.train_step(batch)
        got = [*method.network.variables, *method.ema_network.variables]
        for variable, key in zip(got, ("W", "b", "W_ema", "b_ema"), strict=True):
            np.testing.assert_allclose(variable, expected[key], **close, err_msg=key)


def test_consistency_and_its_gradient_equal_the_published_codes(golden, bench):
    (case,) = [case for case in golden("mean_teacher")["cases"] if case["id"] == "mse_0"]
    inputs, expected = case["inputs"], case["outputs"]
    classes = len(inputs["student_logits"][0])
    method = bench.make(
        mean_teacher.MeanTeacher,
        lambda: bench.linear_network(np.eye(classes), np.zeros(classes)),
        HYPER | {"lambda_u": 1.0, "ramp_fraction": 0.0},
        counts=np.ones(classes),
    )
    views = {"weak": inputs["teacher_logits"], "weak_2": inputs["student_logits"]}
    batch = bench.batch({"weak": np.zeros([1, classes])}, [0], views)
    student, teacher = batch["unlabeled"]["weak_2"], batch["unlabeled"]["weak"]
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        terms, _ = method.loss_terms(batch, method.prepare(batch))
    np.testing.assert_allclose(terms["loss_unlabeled"], expected["mean_over_batch"], rtol=1e-5)
    to_student = tape.gradient(terms["loss_unlabeled"], student)
    np.testing.assert_allclose(
        to_student, expected["grad_student_logits_of_mean"], rtol=1e-4, atol=1e-7
    )


def test_the_teacher_is_the_averaged_network_and_gets_no_gradient(bench):
    method = bench.make(
        mean_teacher.MeanTeacher,
        lambda: bench.linear_network(np.eye(2), [0.0, 0.0]),
        HYPER | {"lambda_u": 1.0, "ramp_fraction": 0.0},
    )
    teacher_kernel, teacher_bias = method.ema_network.variables
    teacher_bias.assign([np.log(3.0), 0.0])
    views = {"weak": [[0.0, 0.0]], "weak_2": [[0.0, 0.0]]}
    batch = bench.batch({"weak": [[0.0, 0.0]]}, [0], views)
    with tf.GradientTape(persistent=True) as tape:
        terms, _ = method.loss_terms(batch, method.prepare(batch))
    # Teacher (3/4, 1/4), student (1/2, 1/2).
    np.testing.assert_allclose(terms["loss_unlabeled"], 1 / 16, rtol=1e-6)
    for variable in (teacher_kernel, teacher_bias):
        gradient = tape.gradient(terms["loss_unlabeled"], variable)
        assert gradient is None or not np.any(gradient)
