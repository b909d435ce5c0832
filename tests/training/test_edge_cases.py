"""Pseudo-labels that are all alike, or none; one picture of a class; batches beyond the data."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.methods import base
from drw_tf.rebalance import base as rebalance
from drw_tf.training import assembly, stages


@pytest.fixture
def epochs(resolve, quarters):
    """epochs(method, *flags, data=...): the method, and what two epochs of two steps logged."""

    def run(name, *arguments, data=quarters):
        config = resolve(f"--method={name}", *arguments)
        dataset, split = data
        method = assembly.build_method(config, dataset, split)
        parts = stages.Stages(config, dataset, split, method, None, None)
        assembly.compile_method(config, method, parts.all[0])
        views = assembly.views(config, dataset)
        batches = iter(pipeline.training_batches(dataset.train, parts.streams(0), views, 0))
        entries = []
        for epoch in (1, 2):
            for _ in range(2):
                method.train_step(next(batches))
            entries.append(method.end_epoch(10 * epoch))
        assert_finite(method, entries)
        return method, entries

    return run


def assert_finite(method, entries):
    for variable in [*method.variables, *method.optimizer.variables]:
        assert np.isfinite(variable.numpy()).all(), variable.name
    assert method.alarm.read()[0] == 0
    for entry in entries:
        assert all(np.isfinite(value) for value in entry["train"].values())


@pytest.fixture
def only_classes(monkeypatch):
    """only_classes(0, 1): no pseudo-label is of any other class, however sure the network is."""

    def restrict(*classes):
        refine = base.Method.refine
        allowed = np.isin(np.arange(4), classes).astype(np.float32)

        def restricted(self, probabilities, weak, what=None):
            kept = (refine(self, probabilities, weak, what) + 1e-6) * allowed
            return kept / np.sum(kept, axis=1, keepdims=True)

        monkeypatch.setattr(base.Method, "refine", restricted)

    return restrict


FROM_THE_START = {
    "drw": ["--reweight_start=0", "--threshold=0"],
    "saw": ["--threshold=0"],
    "drw_darp": ["--reweight_start=0", "--threshold=0", "--darp_start=0", "--darp_refresh=1"],
    "remixmatch": ["--ramp_fraction=0"],
}


def some_slow(fast, slow):
    """Recipes to test always, and those that wait for --slow."""
    return [*fast, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)]


@pytest.mark.parametrize("name", some_slow(["drw", "drw_darp"], ["saw", "remixmatch"]))
def test_a_class_without_pseudo_labels_keeps_a_finite_weight(epochs, only_classes, name):
    only_classes(0, 1, 2)
    _, entries = epochs(name, *FROM_THE_START[name])
    assert entries[0]["pseudo_numbers"][3] == 1  # the least that is counted
    if name == "remixmatch":
        assert "unlabeled_weights" not in entries[1]
        return
    weights = entries[1]["unlabeled_weights"]
    assert np.isfinite(weights).all()
    assert weights[3] == max(weights) > min(weights)
    assert sum(weights) == pytest.approx(4, rel=1e-5)


def test_an_epoch_of_the_head_alone(epochs, only_classes):
    only_classes(0)
    _, entries = epochs("drw", *FROM_THE_START["drw"])
    # All of the pool of 80; the others at the least.
    assert entries[0]["pseudo_numbers"] == [80, 1, 1, 1]
    head, *others = entries[1]["unlabeled_weights"]
    assert 0 < head < others[0] == others[1] == others[2]


@pytest.mark.parametrize("count", ["all", "confident"])
def test_all_samples_below_the_threshold(epochs, count):
    _, entries = epochs("drw", "--threshold=1", "--reweight_start=0", f"--pseudo_count={count}")
    for entry in entries:
        assert entry["train"]["mask_rate"] == 0
        assert entry["train"]["loss_unlabeled"] == 0
        assert entry["train"]["loss_labeled"] > 0
    if count == "confident":
        assert entries[0]["pseudo_numbers"] == [1, 1, 1, 1]
        assert entries[1]["unlabeled_weights"] == pytest.approx([1, 1, 1, 1])


@pytest.fixture
def one_of_a_class(quarters):
    """The data with one labeled picture of the last class."""
    dataset, split = quarters
    labels = dataset.train.labels[split.labeled]
    last = np.flatnonzero(labels == 3)[1:]
    assert len(last) == 1
    rows = np.delete(split.labeled, last)
    return dataset, dataclasses.replace(split, labeled=rows)


@pytest.mark.parametrize(
    "name", some_slow(["ldam_drw", "drw_darp"], ["drw_abc", "resampling", "saw"])
)
def test_one_labeled_picture_of_a_class(epochs, one_of_a_class, name):
    method, _ = epochs(name, *FROM_THE_START.get(name, []), data=one_of_a_class)
    np.testing.assert_array_equal(method.facts.labeled_counts[-1], 1)


@pytest.mark.parametrize("name", some_slow(["drw_darp"], ["saw", "remixmatch"]))
def test_a_batch_larger_than_the_data(epochs, quarters, name):
    dataset, split = quarters
    few = dataclasses.replace(
        split, labeled=split.labeled[[0, 12, 16, 19]], unlabeled=split.unlabeled[:3]
    )
    labels = dataset.train.labels[few.labeled]
    assert sorted(labels) == [0, 1, 2, 3]
    method, entries = epochs(name, *FROM_THE_START[name], data=(dataset, few))
    # 8 labeled rows a step of 4 pictures, 16 unlabeled ones of 7, or of 3 without the labeled ones.
    assert method.facts.pool_size == (3 if name == "remixmatch" else 7)
    # Scaled to the pool; a class without any counts as 1.
    total = sum(entries[0]["pseudo_numbers"])
    assert method.facts.pool_size - 1e-3 <= total <= method.facts.pool_size + 3


def test_no_pseudo_label_of_a_class_adds_none_of_it_in_the_next_generation(resolve, quarters):
    dataset, split = quarters
    config = resolve("--method=fixmatch_crest_plus", "--crest_generations=2")
    method = assembly.build_method(config, dataset, split)

    def logits(images: records.ArrayImages) -> np.ndarray:
        return np.tile(np.float32([3, 2, 1, -9]), [len(images), 1])

    parts = stages.Stages(config, dataset, split, method, tf.distribute.get_strategy(), logits)
    parts.prepare(0)
    parts.begin(1)
    (crest,) = method.rebalancers
    assert isinstance(crest, rebalance.Rebalancer)
    # All 60 unlabeled pictures are predicted as class 0, of 10 labeled ones where the rarest
    # class has 2: floor(60 (2 / 10) ** (1 / 3)) of them join.
    np.testing.assert_array_equal(crest.describe()["added_counts"], [35, 0, 0, 0])
    rows = parts.streams(1)[0].rows
    np.testing.assert_array_equal(rows[:20], split.labeled)
    assert len(rows) == 20 + 35
    assert set(rows[20:]) <= set(split.unlabeled)
