"""Two replicas do what one does, in every stage: weights, averages, histogram, class weights."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import recipes
from drw_tf.data import pipeline
from drw_tf.training import assembly, evaluation, stages


def run_steps(strategy, replicas, config, quarters, steps):
    """The method after some steps of each stage, each a call of the compiled step."""
    dataset, split = quarters
    with strategy.scope():
        method = assembly.build_method(config, dataset, split)

    def logits(images):
        judge = evaluation.Evaluator(
            images, dataset.image_shape, method.facts.labeled_counts, config.eval_batch_size
        )
        return judge.logits(method.ema_network, method.evaluated_head)

    parts_of_run = stages.Stages(config, dataset, split, method, strategy, logits)
    parts_of_run.prepare(0)
    for stage in range(len(parts_of_run.all)):
        if stage:
            parts_of_run.begin(stage)
        batches = iter(
            pipeline.training_batches(
                dataset.train,
                parts_of_run.streams(stage),
                assembly.views(config, dataset),
                config.seed,
                shard=pipeline.Shard(replicas=replicas),
            )
        )
        _train(strategy, replicas, method, batches, steps)
    return method


def _train(strategy, replicas, method, batches, steps):
    @tf.function
    def step(parts):
        strategy.run(method.train_step, args=(parts,))

    for _ in range(steps):
        parts = [next(batches) for _ in range(replicas)]

        def part_of(context, parts=parts):
            return parts[context.replica_id_in_sync_group]

        step(strategy.experimental_distribute_values_from_function(part_of))


CASES = [
    # So much decay would show if each replica added all of it.
    pytest.param(["--method=drw", "--reweight_start=0", "--weight_decay=0.5"], id="modern"),
    # Adam's first steps are the gradient's sign, which rounding decides where it is tiny.
    pytest.param(
        ["--method=drw", "--protocol=darp", "--optimizer=sgd", "--pseudo_memory=bank"],
        id="darp_bank",
        marks=pytest.mark.slow,
    ),
    pytest.param(["--method=supervised"], id="supervised", marks=pytest.mark.slow),
    pytest.param(
        ["--method=drw_darp", "--darp_start=0", "--darp_refresh=2", "--reweight_start=0"],
        id="drw_darp",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        ["--method=drw_darp", "--darp_start=0", "--reweight_start=0", "--pseudo_count=unrefined"],
        id="drw_darp_unrefined",
        marks=pytest.mark.slow,
    ),
    pytest.param(["--method=focal2"], id="focal", marks=pytest.mark.slow),
    # Rounding of a smaller difference would show after three steps.
    pytest.param(
        ["--method=vat", "--ramp_fraction=0", "--vat_difference=0.1"],
        id="vat",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        ["--method=mean_teacher", "--ramp_fraction=0"],
        id="mean_teacher",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        ["--method=mixmatch_drw", "--ramp_fraction=0", "--pseudo_memory=bank"],
        id="mixmatch",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        ["--method=remixmatch_drw", "--ramp_fraction=0"], id="remixmatch", marks=pytest.mark.slow
    ),
    pytest.param(
        ["--method=drw_abc", "--threshold=0.3", "--reweight_start=0"],
        id="abc",
        marks=pytest.mark.slow,
    ),
    pytest.param(["--method=drw_cdmad", "--cdmad_start=0"], id="cdmad", marks=pytest.mark.slow),
    pytest.param(
        ["--method=fixmatch_crest_plus", "--crest_generations=2", "--threshold=0.3"],
        id="crest_plus",
        marks=pytest.mark.slow,
    ),
    pytest.param(["--method=ldam_drw"], id="ldam", marks=pytest.mark.slow),
    pytest.param(["--method=crt", "--crt_head_fraction=0.5"], id="crt", marks=pytest.mark.slow),
    pytest.param(
        ["--method=remixmatch_darp_crt", "--crt_head_fraction=0.5", "--darp_start=0"],
        id="darp_crt",
        marks=pytest.mark.slow,
    ),
]


def test_every_method_is_among_the_cases():
    names = [case.values[0][0].removeprefix("--method=") for case in CASES]
    assert {recipes.RECIPES[name].method for name in names} == set(recipes.METHODS)


@pytest.mark.parametrize("arguments", CASES)
def test_two_replicas_equal_one(two_replicas, quarters, resolve, arguments):
    config = resolve("--sync_batch_norm", "--learning_rate=0.002", *arguments)
    one = run_steps(tf.distribute.get_strategy(), 1, config, quarters, 3)
    two = run_steps(two_replicas, 2, config, quarters, 3)
    for network in ("network", "ema_network"):
        pairs = zip(getattr(one, network).variables, getattr(two, network).variables, strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(
                np.asarray(theirs.read_value()),
                ours.numpy(),
                rtol=1e-5,
                atol=1e-5,
                err_msg=ours.name,
            )
    if one.histogram is not None:
        own = [config.pseudo_count] if config.pseudo_count == "unrefined" else []
        for count in ("all", *own, "confident"):
            expected, rows = one.histogram.numbers(count)
            got, got_rows = two.histogram.numbers(count)
            np.testing.assert_array_equal(got, expected)
            assert got_rows == rows
        assert expected.sum() <= rows
        assert one.histogram.numbers("all")[0].sum() == rows > 0
    ours, theirs = one.end_epoch(3), two.end_epoch(3)
    for name, value in ours["train"].items():
        np.testing.assert_allclose(theirs["train"][name], value, rtol=1e-4, err_msg=name)
    tells_of_pool = one.histogram is not None and not one.stage.labeled_only
    assert ("pseudo_recall" in ours) == tells_of_pool
    for name in ("pseudo_precision", "pseudo_recall", "confident_rate"):
        np.testing.assert_array_equal(theirs.get(name), ours.get(name))
    for first, second in zip(one.rebalancers, two.rebalancers, strict=True):
        for name, value in first.describe().items():
            np.testing.assert_allclose(second.describe()[name], value, rtol=1e-6)
