"""A loss that is not finite is found in its step, never applied, and named."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import session
from drw_tf.methods import alarm, base
from drw_tf.ops import schedules
from drw_tf.training import evaluation

pytestmark = pytest.mark.usefixtures("small_data")


def poison(monkeypatch, is_bad):
    """The labeled loss is infinite where `is_bad` of the method, batch statistics NaN."""
    original = base.Method.labeled_terms

    def labeled_terms(self, batch):
        bad = is_bad(self)
        labeled = dict(batch["labeled"])
        labeled["weak"] += tf.where(bad, float("nan"), 0.0)
        terms = original(self, batch | {"labeled": labeled})
        # A leaky ReLU may turn NaN into a number, so the loss is poisoned as well.
        terms["loss_labeled"] *= tf.where(bad, float("inf"), 1.0)
        return terms

    monkeypatch.setattr(base.Method, "labeled_terms", labeled_terms)


@pytest.fixture
def poisoned(monkeypatch):
    """Step 8 is bad."""
    poison(monkeypatch, lambda method: tf.equal(method.step, 7))


def train(config):
    return session.train(config, ["test"])


@pytest.mark.parametrize("steps_per_execution", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_stops_and_names_step_term_rate_and_checkpoint_and_skips_where_that_is_asked(
    resolve, poisoned, tmp_path, steps_per_execution
):
    config = resolve("--method=supervised", f"--steps_per_execution={steps_per_execution}")
    with pytest.raises(alarm.NonFiniteError) as caught:
        train(config)
    text = str(caught.value)
    assert "loss_labeled and gradient not finite" in text
    assert "first step 8" in text
    schedule = (config.schedule, config.learning_rate, config.steps, config.warmup_steps)
    rate = float(schedules.LearningRate(*schedule)(tf.constant(7)))
    assert f"learning rate {rate:g};" in text
    assert "that of step 5" in text
    # What it advises works.
    assert (
        "With --on_nonfinite=skip, and without --fresh, the same command goes on from there" in text
    )
    result = train(resolve("--method=supervised", "--on_nonfinite=skip"))
    assert [entry["skipped_steps"] for entry in result["history"]] == [1, 1]
    assert result["steps"] == 20
    reader = tf.train.load_checkpoint(
        str(tmp_path / "run" / "checkpoints" / "step_000000020" / "variables")
    )
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name)
        if getattr(value, "dtype", None) == np.float32:
            assert np.isfinite(value).all(), name
    assert all(np.isfinite(entry["train"]["loss"]) for entry in result["history"])


@pytest.mark.slow
def test_what_was_skipped_before_does_not_stop_the_plain_command(resolve, monkeypatch, poisoned):
    skip = ("--method=supervised", "--on_nonfinite=skip", "--stop_at_step=10")
    assert train(resolve(*skip))["history"][0]["skipped_steps"] == 1
    assert train(resolve("--method=supervised"))["steps"] == 20


def test_a_network_that_diverged_unseen_is_named_when_it_is_evaluated(resolve, monkeypatch):
    judge = evaluation.Evaluator.logits_of_each

    def diverged(self, *args):
        return [np.full_like(logits, np.nan) for logits in judge(self, *args)]

    monkeypatch.setattr(evaluation.Evaluator, "logits_of_each", diverged)
    said = r"^in the evaluation of step 10 logits .* nan or inf in 24 of 24 rows; start over with"
    with pytest.raises(alarm.NonFiniteError, match=said):
        train(resolve("--method=supervised"))


def test_gives_up_after_the_limit(resolve, poisoned):
    with pytest.raises(alarm.NonFiniteError, match="1 step"):
        train(resolve("--method=supervised", "--on_nonfinite=skip", "--max_skipped_steps=0"))


@pytest.mark.slow
def test_the_first_bad_step_is_one_of_the_run_not_of_its_stage(resolve, monkeypatch):
    """Steps 8 and 9 of the second stage of ten."""

    def is_bad(method):
        return (method.stage_start == 10) & ((method.step == 7) | (method.step == 8))

    poison(monkeypatch, is_bad)
    words = ("--method=crt", "--crt_head_fraction=0.5", "--on_nonfinite=skip")
    with pytest.raises(alarm.NonFiniteError) as caught:
        train(resolve(*words, "--max_skipped_steps=1"))
    assert "2 step(s) were not applied, first step 18 at" in str(caught.value)
    assert "With a --max_skipped_steps above 1, and without --fresh, the same" in str(caught.value)
    assert train(resolve(*words, "--max_skipped_steps=2"))["history"][-1]["skipped_steps"] == 2
