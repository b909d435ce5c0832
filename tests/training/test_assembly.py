"""What is built from flags and data: the network's constants, the head that is judged."""

import dataclasses

import numpy as np
import pytest
from tensorflow import keras

from drw_tf import contradictions
from drw_tf import run as runs
from drw_tf.data import dataset as records
from drw_tf.models import heads
from drw_tf.training import assembly
from tests import small_network


def test_a_network_has_the_constants_of_its_data_and_flags(resolve, quarters):
    dataset = dataclasses.replace(quarters[0], mean=(0.2,), std=(0.4,))
    words = ("--batch_norm_momentum=0.9", "--batch_norm_epsilon=0.002", "--sync_batch_norm")
    config = resolve("--method=supervised", "--model=wide_resnet_10_1", *words)
    network = assembly.network_builder(config, dataset)({"logits": lambda: heads.dense_head(4)})
    first = network.get_layer("normalization")
    # (x - .2) / .4
    assert (first.scale, first.offset) == pytest.approx((2.5, -0.5))
    kind = keras.layers.BatchNormalization
    norms = [layer for layer in network.submodules if isinstance(layer, kind)]
    assert len(norms) > 3
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 0.002), layer.name
        assert layer.synchronized, layer.name


def test_a_true_prior_is_counted_over_the_pool(resolve, quarters):
    dataset = quarters[0]
    one_of_each = np.array([0, 40, 60, 72])
    others = np.setdiff1d(np.arange(80), one_of_each)
    split = records.Split(one_of_each, others, others[:0])

    def expected(*words, data=dataset):
        config = resolve("--method=frwu", *words)
        return assembly.build_method(config, data, split).facts.expected_in_pool.tolist()

    assert expected() == [20, 20, 20, 20]
    assert expected("--unlabeled_prior=true") == [40, 20, 12, 8]
    assert expected("--unlabeled_prior=true", "--pool=unlabeled") == [39, 19, 11, 7]
    labels = np.where(np.isin(np.arange(80), one_of_each), dataset.train.labels, -1)
    train = dataclasses.replace(dataset.train, labels=labels)
    unknown = dataclasses.replace(dataset, train=train)
    assert expected(data=unknown) == [20, 20, 20, 20]
    with pytest.raises(ValueError, match="--unlabeled_prior must be labeled where nobody knows"):
        expected("--unlabeled_prior=true", data=unknown)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method=frwu_darp"], False),
        (["--method=frwu_darp", "--unlabeled_order=reversed"], True),
        (["--method=remixmatch", "--unlabeled_order=uniform"], True),
        (["--method=frwu", "--unlabeled_imbalance_ratio=2"], True),
        (["--method=frwu", "--unlabeled_imbalance_ratio=2", "--unlabeled_prior=true"], False),
        (["--method=remixmatch", "--unlabeled_order=uniform", "--align_distribution=false"], False),
        (["--method=frwu", "--imbalance_ratio=1", "--unlabeled_order=uniform"], False),
        (["--method=frwu", "--imbalance_ratio=1"], False),
        (["--method=frwu", "--imbalance_ratio=1", "--unlabeled_imbalance_ratio=2"], True),
        (["--method=drw", "--unlabeled_order=reversed"], False),  # counts them itself
        (["--method=frwu", "--dataset=tfds:stl10"], False),  # which nobody knows
    ],
)
def test_a_pool_of_another_tail_than_a_method_expects_is_told(resolve, words, told):
    lines = list(contradictions.doubts(resolve(*words)))
    assert [
        line.endswith("--unlabeled_prior=true tells it the true numbers.") for line in lines
    ] == ([True] * told)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("fixmatch_crest", ["--crest_generations=2"]),
        ("mixmatch_crest_plus", ["--crest_generations=2"]),
        ("fixmatch_abc", []),
    ],
)
def test_a_pool_of_another_tail_is_told_where_no_flag_tells_it_the_method(resolve, method, words):
    words = [f"--method={method}", *words]
    assert list(contradictions.doubts(resolve(*words))) == []
    (line,) = contradictions.doubts(resolve(*words, "--unlabeled_order=reversed"))
    assert line == (
        f"{method} takes the pool to be as long-tailed as the labeled pictures, which it is not."
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method=drw"], "the unlabeled loss has none up to --reweight_start=0.3 of the steps:"),
        (["--method=drw", "--reweight_start=0"], None),
        (["--method=frwlu"], None),
        (["--method=frwl"], "the unlabeled loss has none: it counts many times as much as the "),
        (["--method=frwu"], "the labeled loss has none: it counts many times as much as the "),
        (["--method=drw", "--weight_normalization=sample"], None),
    ],
)
def test_weights_of_another_size_than_the_other_loss_has_are_told(resolve, words, told):
    lines = list(contradictions.doubts(resolve("--weight_normalization=none", *words)))
    assert [told in line for line in lines] == [True] * (told is not None)


def test_pictures_held_out_that_an_earlier_run_may_have_learned_from_are_told(resolve):
    (line,) = contradictions.doubts(resolve("--init_weights=before", "--validation_per_class=1"))
    assert line.startswith("--validation_per_class may hold out pictures that the run of --init_")
    assert list(contradictions.doubts(resolve("--init_weights=before"))) == []
    file = resolve("--init_weights=before.h5", "--validation_per_class=1")
    assert list(contradictions.doubts(file)) == []


@pytest.mark.usefixtures("small_data")
def test_the_balanced_head_of_abc_is_judged_not_the_methods_own(resolve, quarters):
    run = runs.Run(resolve("--method=drw_abc"))
    for network in run.networks().values():
        for name, always in (("logits", 0), ("abc", 3)):
            small_network.always_answer(network, np.eye(4)[always], name)
    test = quarters[0].test
    np.testing.assert_array_equal(run.logits(test), np.tile(np.eye(4)[3], [len(test), 1]))
    found = run.evaluate(run.evaluator(test))
    for name in ("ema", "raw"):
        assert found[name]["recall"] == [0, 0, 0, 1], name


@pytest.mark.usefixtures("small_data")
def test_each_network_is_debiased_by_its_own_answer(resolve, quarters):
    run = runs.Run(resolve("--method=fixmatch_cdmad"))
    networks = run.networks()
    small_network.always_answer(networks["ema"], np.zeros(4))
    small_network.always_answer(networks["raw"], 5 * np.eye(4)[3])
    found = run.evaluate(run.evaluator(quarters[0].test))
    # Less its answer to nothing, neither says more of one class than of another.
    for name in ("ema", "raw"):
        assert found[name]["loss"] == pytest.approx(np.log(4), rel=1e-6), name


def test_many_and_few_are_classes_of_many_and_of_few_labeled_pictures(resolve, quarters):
    dataset = quarters[0]
    # 2, 3, 5 and 8 of the classes, whose pictures begin at these rows.
    starts, counts = (0, 40, 60, 72), (2, 3, 5, 8)
    labeled = np.concatenate([np.arange(n) + row for row, n in zip(starts, counts, strict=True)])
    split = records.Split(labeled, np.setdiff1d(np.arange(80), labeled), np.arange(0))
    run = runs.Run(resolve("--method=supervised"), data=(dataset, split))
    for network in run.networks().values():
        small_network.always_answer(network, np.eye(4)[3])
    found = run.evaluate(run.evaluator(dataset.test))
    for name in ("ema", "raw"):
        assert [found[name][part] for part in ("many", "medium", "few")] == [1, 0, 0], name
