"""Flags that make steps faster, and change nothing else."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import recipes
from drw_tf import run as runs
from drw_tf.methods import base
from drw_tf.ops import replicas
from drw_tf.rebalance import draws
from drw_tf.training import devices
from drw_tf.training import optimizer as optimizers
from tests import ended_runs

pytestmark = pytest.mark.usefixtures("small_data")


def test_steps_per_execution_changes_no_bit(uncut):
    arguments = ("--method=drw", "--reweight_start=0.5", "--pseudo_smoothing=0.5")
    one, five = (uncut(*arguments, *more)[0] for more in ((), ("--steps_per_execution=5",)))
    ended_runs.assert_same(one, five)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_step_is_traced_once_however_many_a_call_makes(resolve, monkeypatch, steps):
    traced = []
    step = base.Method.train_step
    monkeypatch.setattr(
        base.Method, "train_step", lambda self, batch: traced.append(1) or step(self, batch)
    )
    run = runs.Run(resolve("--method=supervised", f"--steps_per_execution={steps}"))
    run.stages.prepare(0)
    run.method.fit(run.batches(0, 0), steps_per_epoch=10, epochs=2, verbose=0)
    assert int(run.method.step) == 20
    assert len(traced) == 1


def test_a_call_makes_as_many_steps_where_functions_run_eagerly(resolve):
    run = runs.Run(resolve("--method=supervised", "--steps_per_execution=5"))
    run.stages.prepare(0)
    batches = run.batches(0, 0)  # their own functions never run eagerly
    tf.config.run_functions_eagerly(True)
    try:
        run.method.fit(batches, steps_per_epoch=10, epochs=1, verbose=0)
    finally:
        tf.config.run_functions_eagerly(False)
    assert int(run.method.step) == 10


def losses(config, steps):
    """Mean losses, weights and batch statistics after some compiled steps."""
    run = runs.Run(config)
    run.stages.prepare(0)
    method = run.method
    method.fit(run.batches(0, 0), steps_per_epoch=steps, epochs=1, verbose=0)
    values = [variable.numpy() for variable in method.network.variables]
    return method.end_epoch(steps), np.concatenate([value.ravel() for value in values])


JIT_METHODS = [
    "supervised",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name, recipe in recipes.RECIPES.items()
        if name != "supervised" and recipe.method not in ("mixmatch", "remixmatch")
    ),
]


@pytest.fixture
def _the_same_numbers(monkeypatch):
    """XLA's stateless random numbers are not those of TensorFlow's kernels for the same seed."""

    numbers = tf.constant(np.random.default_rng(4).uniform(size=4096), tf.float32)
    monkeypatch.setattr(draws, "uniform_rows", lambda seed, name, step, rows: numbers[:rows])
    monkeypatch.setattr(
        replicas,
        "own_rows",
        lambda values: tf.reshape(numbers[: values.shape.num_elements()], values.shape) - 0.5,
    )


@pytest.mark.usefixtures("_the_same_numbers")
@pytest.mark.parametrize("method", JIT_METHODS)
def test_xla_computes_the_same(resolve, method):
    arguments = [f"--method={method}", "--steps_per_epoch=5", "--learning_rate=0.002"]
    flags = recipes.RECIPES[method].flags
    starts = {"darp_start": 0, "reweight_start": 0, "cdmad_start": 0, "darp_refresh": 2}
    arguments += [f"--{name}={value}" for name, value in starts.items() if name in flags]
    if "crest_generations" in flags:
        arguments.append("--crest_generations=2")
    plain, weights = losses(resolve(*arguments, "--jit_compile=off"), 2)
    compiled, compiled_weights = losses(resolve(*arguments, "--jit_compile=on"), 2)
    for name, value in plain["train"].items():
        assert compiled["train"][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    np.testing.assert_allclose(compiled_weights, weights, rtol=1e-4, atol=1e-5)


def test_a_cpu_is_fed_by_the_data_set_itself(resolve):
    run = runs.Run(resolve("--method=supervised"))
    batches = run.batches(0, 0)
    # Any other iterator has a thread that tunes it, and whose sleep its end waits for.
    assert isinstance(batches, tf.data.Dataset)
    assert not batches.options().autotune.enabled


def test_several_replicas_are_not_compiled(two_replicas):
    assert not devices.compiles("auto", two_replicas)
    assert not devices.compiles("off", two_replicas)
    with pytest.raises(ValueError, match="--jit_compile=on must have one replica"):
        devices.compiles("on", two_replicas)


@pytest.mark.parametrize("method", ["mixmatch", "remixmatch_cdmad"])
def test_methods_with_mixup_are_not_compiled(resolve, monkeypatch, method):
    refused = "--jit_compile must be auto or off for methods with mix"
    with pytest.raises(ValueError, match=refused):
        resolve(f"--method={method}", "--jit_compile=on")
    run = runs.Run(resolve(f"--method={method}"))
    with pytest.raises(ValueError, match=refused):
        devices.compiles("on", tf.distribute.get_strategy(), run.method.compilable)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"])
    assert not devices.compiles("auto", tf.distribute.get_strategy(), run.method.compilable)


def test_auto_compiles_on_one_gpu_alone(monkeypatch):
    alone = tf.distribute.get_strategy()
    assert not devices.compiles("auto", alone)
    assert devices.compiles("on", alone)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"])
    assert devices.compiles("auto", alone)
    assert not devices.compiles("off", alone)
    # On a GPU XLA has no deterministic gradient of max-pooling.
    assert not devices.compiles("auto", alone, True, True)
    assert devices.compiles("on", alone, True, True)


def test_one_worker_that_is_left_of_several_is_not_compiled(monkeypatch, two_replicas):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"])
    monkeypatch.setattr(type(two_replicas), "num_replicas_in_sync", 1)
    assert not devices.compiles("auto", two_replicas)
    with pytest.raises(ValueError, match="the strategy mirrors its variables on 1"):
        devices.compiles("on", two_replicas)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_no_optimizer_is_compiled_by_itself(monkeypatch, name):
    monkeypatch.setattr(tf.compat.v2.config, "list_physical_devices", lambda kind: [f"/{kind}:0"])
    assert keras.optimizers.SGD(0.1).jit_compile  # what Keras does where there is a GPU
    assert not optimizers.build(name, 0.1).jit_compile
