"""A step whose loss is not finite leaves no trace under --on_nonfinite=skip."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.data import pipeline
from drw_tf.methods import alarm, loss_scale
from drw_tf.training import assembly, stages

POISONED = 1  # number of the bad step, from 0


@pytest.fixture(autouse=True)
def _network():
    """The one that is meant: of many variables a single one could be forgotten."""


@pytest.fixture
def run_steps(quarters, resolve):
    """run_steps(method, *flags): the method, and its state before and after a bad step."""

    def run(name, *arguments, strategy=None, replicas=1):
        strategy = strategy or tf.distribute.get_strategy()
        config = resolve(f"--method={name}", "--on_nonfinite=skip", *arguments)
        dataset, split = quarters
        with strategy.scope():
            method = assembly.build_method(config, dataset, split)
        parts = stages.Stages(config, dataset, split, method, strategy, None)
        parts.prepare(0)
        shard = pipeline.Shard(replicas=replicas)
        views = assembly.views(config, dataset)
        streams = parts.streams(0)
        batches = iter(pipeline.training_batches(dataset.train, streams, views, 0, 0, shard))
        poison(method)
        if loss_scale.is_scaling(method.optimizer):
            # Were the second step a good one, it would double the scale.
            method.optimizer.dynamic_counter.assign(method.optimizer.dynamic_growth_steps - 2)
        step = tf.function(lambda batch: strategy.run(method.train_step, args=(batch,)))
        seen = []
        for _ in range(POISONED + 1):
            rows = [next(batches) for _ in range(replicas)]
            seen.append(state_of(method, strategy))
            step(
                strategy.experimental_distribute_values_from_function(
                    lambda context, rows=rows: rows[context.replica_id_in_sync_group]
                )
            )
        return method, seen, state_of(method, strategy)

    return run


def poison(method):
    """Makes all that the network says NaN in one step, its batch statistics as well."""
    forward = method.network.call

    def call(images, *args, **kwargs):
        bad = tf.where(tf.equal(method.step, POISONED), float("nan"), 0.0)
        outputs = forward(images + bad, *args, **kwargs)
        return {name: value + bad for name, value in outputs.items()}

    method.network.call = call


def state_of(method, strategy):
    """Every variable but those that count steps and alarms."""
    variables = [*method.variables, *method.optimizer.variables]
    variables += loss_scale.variables(method.optimizer)
    counting = {id(method.optimizer.iterations), *map(id, method.alarm.variables)}
    return [
        (one.name, copy.numpy())
        for one in variables
        if id(one) not in counting
        # On every replica, whose copies need not be alike.
        for copy in strategy.experimental_local_results(one)
    ]


def changed(before, after):
    pairs = zip(before, after, strict=True)
    return [name for (name, old), (_, new) in pairs if not np.array_equal(old, new)]


@pytest.mark.parametrize(
    ("arguments", "kind", "times"),
    [
        # Of the running mean, and those that were counted.
        pytest.param(["remixmatch"], "rows:0", 2, marks=pytest.mark.slow),
        pytest.param(
            ["drw", "--pseudo_memory=bank", "--protocol=darp"], "bank:0", 1, marks=pytest.mark.slow
        ),
        (["drw_darp", "--darp_start=0", "--darp_refresh=1"], "refined:0", 1),
        pytest.param(
            ["supervised", "--weight_decay=0.5"], "logits/kernel:0", 2, marks=pytest.mark.slow
        ),
        (["supervised", "--precision=float16"], "good_steps:0", 1),
    ],
    ids=["running_mean", "bank", "refined", "weights", "loss_scale"],
)
def test_a_skipped_step_changes_nothing_but_its_count(run_steps, arguments, kind, times):
    method, (start, before), after = run_steps(*arguments)
    assert changed(before, after) == []
    assert all(np.isfinite(value).all() for _, value in after)
    # The step before was not skipped, and moved what is compared.
    moved = changed(start, before)
    assert moved.count(kind) == times
    assert len(moved) > 40
    assert int(method.optimizer.iterations.numpy()) == POISONED + 1
    assert method.alarm.read()[:2] == (1, POISONED + 1)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["drw", "--pseudo_memory=bank", "--sync_batch_norm"], marks=pytest.mark.slow),
        pytest.param(["fixmatch", "--precision=float16"], marks=pytest.mark.slow),
        pytest.param(
            ["fixmatch_darp", "--darp_start=0", "--darp_refresh=1"], marks=pytest.mark.slow
        ),
    ],
    ids=["float32", "float16", "darp"],
)
def test_two_replicas_skip_together(run_steps, two_replicas, arguments):
    method, (_, before), after = run_steps(*arguments, strategy=two_replicas, replicas=2)
    assert method.alarm.read()[:2] == (1, POISONED + 1)
    assert changed(before, after) == []


def test_without_skipping_nothing_is_kept(quarters, resolve):
    method = assembly.build_method(resolve("--method=drw"), *quarters)
    assert method.undone_variables() == []
    assert isinstance(method.alarm, alarm.Alarm)
