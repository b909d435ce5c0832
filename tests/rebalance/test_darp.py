"""DARP in a step: its bank, its clock, what it hands on, and in which order."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.ops import refinement
from drw_tf.rebalance import base, class_weights, darp

COUNTS = [6.0, 3.0, 1.0]
POOL = 20


@pytest.fixture
def make(make_facts, make_hyper):
    """make(darp_start=.4, ...): the rebalancer for 100 steps and a pool of 20 pictures."""

    def build(pool_counts=None, **values):
        values = {"darp_start": 0.4, "darp_refresh": 10, "darp_alpha": 2.0} | values
        return darp.DistributionAligningRefinery(
            make_hyper(**values), make_facts(COUNTS, pool_size=POOL, pool_counts=pool_counts)
        )

    return build


def rows(count, seed=0):
    logits = np.random.default_rng(seed).normal(size=[count, 3]) * 2
    return tf.nn.softmax(tf.constant(logits, tf.float32))


def weak(index, step, stage_steps=100):
    index = tf.constant(index, tf.int64)
    return base.Weak(
        tf.zeros([len(index), 3]), index, tf.constant(step, tf.int64), None, stage_steps
    )


def refined_in_numpy(bank, alpha=2.0):
    """The whole pool's labels; labeled pictures are 6 : 3 : 1, so 12, 6 and 2 of 20."""
    return refinement.refine(bank, [12.0, 6.0, 2.0], alpha).probabilities.numpy()


def test_before_its_start_labels_pass_and_are_remembered(make):
    one = make()
    given = rows(4)
    got = one.refine(given, weak([3, 1, 19, 0], 30))
    np.testing.assert_array_equal(got, given)
    np.testing.assert_array_equal(one.refined, tf.fill([POOL, 3], 1 / 3))  # nothing was solved
    expected = np.full([POOL, 3], 1 / 3, np.float32)
    expected[[3, 1, 19, 0]] = given
    np.testing.assert_array_equal(one.latest.read_value(), expected)


def test_its_start_is_a_share_of_the_stage(make):
    one, given = make(darp_start=0.5), rows(POOL)
    early = one.refine(given, weak(np.arange(POOL), 9, stage_steps=20))
    np.testing.assert_array_equal(early, given)
    late = one.refine(given, weak(np.arange(POOL), 10, stage_steps=20))
    np.testing.assert_allclose(late, refined_in_numpy(given), atol=1e-5)


def test_from_its_start_labels_are_those_of_the_whole_bank_refined(make):
    one = make()
    one.refine(rows(POOL), weak(np.arange(POOL), 39))
    bank = rows(POOL).numpy()
    bank[[5, 2]] = rows(2, seed=1)
    got = one.refine(rows(2, seed=1), weak([5, 2], 40))
    expected = refined_in_numpy(bank)
    np.testing.assert_allclose(got, expected[[5, 2]], atol=1e-6)
    np.testing.assert_allclose(one.refined.read_value(), expected, atol=1e-6)
    np.testing.assert_allclose(np.sum(one.refined, axis=0), [12, 6, 2], atol=1e-4)
    assert one.describe() == {"darp_count_error": 0.0}
    assert np.all(one.dual)  # where the next refresh starts


def test_labels_are_refined_to_the_true_counts_of_the_pool_where_they_are_known(make):
    one = make(darp_start=0.0, pool_counts=np.array([2.0, 6.0, 12.0]))
    one.refine(rows(POOL), weak(np.arange(POOL), 0))
    np.testing.assert_allclose(np.sum(one.refined, axis=0), [2, 6, 12], atol=1e-4)


def test_between_refreshes_the_stored_rows_are_used_and_the_bank_is_written(make):
    one = make()
    one.refine(rows(POOL), weak(np.arange(POOL), 40))
    stored = refined_in_numpy(rows(POOL))
    bank = rows(POOL).numpy()
    for step in range(41, 50):
        given = rows(2, seed=step)
        got = one.refine(given, weak([step - 40, 0], step))
        np.testing.assert_allclose(got, stored[[step - 40, 0]], atol=1e-6)
        bank[[step - 40, 0]] = given
    got = one.refine(rows(1, seed=50), weak([15], 50))
    bank[15] = rows(1, seed=50)[0]
    np.testing.assert_allclose(got, refined_in_numpy(bank)[[15]], atol=1e-6)


def test_every_flag_changes_something(make):
    def second_labels(**values):
        one = make(darp_start=0.0, **values)
        one.refine(rows(POOL), weak(np.arange(POOL), 0))
        return one.refine(rows(POOL, seed=1), weak(np.arange(POOL), 1)).numpy()

    plain = second_labels()
    assert not np.allclose(second_labels(darp_refresh=1), plain, atol=0.01)
    assert not np.allclose(second_labels(darp_alpha=1.0), plain, atol=0.01)
    late = make(darp_start=0.5)
    np.testing.assert_array_equal(late.refine(rows(2), weak([0, 1], 49)), rows(2))
    assert not np.allclose(late.refine(rows(2), weak([0, 1], 50)), rows(2), atol=0.01)


@pytest.mark.parametrize("step", [39, 40, 41])
def test_no_gradient_flows_through_it(make, step):
    one = make()
    given = rows(3)
    with tf.GradientTape() as tape:
        tape.watch(given)
        got = one.refine(given, weak([0, 1, 2], step))
    assert tape.gradient(got, given) is None


def test_restored_state_goes_on_in_the_same_way(make, tmp_path):
    one = make()
    one.refine(rows(POOL), weak(np.arange(POOL), 40))
    path = tf.train.Checkpoint(one).write(str(tmp_path / "state"))
    other = make()
    tf.train.Checkpoint(other).read(path).assert_consumed()
    for step in (41, 50):
        expected = one.refine(rows(3, step), weak([7, 8, 9], step))
        got = other.refine(rows(3, step), weak([7, 8, 9], step))
        np.testing.assert_array_equal(got, expected)


# In methods


def identity_network(heads):
    """The logits are the pictures."""
    pictures = keras.Input([3])
    dense = keras.layers.Dense(3, name="logits", use_bias=False)
    network = keras.Model(pictures, {"logits": dense(pictures), "features": pictures})
    dense.set_weights([np.eye(3, dtype=np.float32)])
    return network


def head_heavy_views():
    """All 20 pictures look like class 0, some less so; two of them should be class 2."""
    logits = np.tile([4.0, 1.0, 0.0], [POOL, 1]) + np.linspace(0, 2, POOL)[:, None] * [[0, 0, 1]]
    views = {"labeled": np.zeros([1, 3]), "weak": logits, "strong": np.zeros([POOL, 3])}
    refined = refined_in_numpy(tf.nn.softmax(tf.constant(logits, tf.float32)))
    return views, refined, np.bincount(refined.argmax(1), minlength=3)


def test_fixmatch_judges_and_counts_the_refined_labels(make, make_facts, fixmatch_step):
    one, facts = make(), make_facts(COUNTS, pool_size=POOL)
    views, refined, counts = head_heavy_views()
    _, before, _, method = fixmatch_step(identity_network, facts, [one], views, [0], 0.8, done=39)
    np.testing.assert_array_equal(method.histogram.numbers("all")[0], [POOL, 0, 0])
    _, after, _, method = fixmatch_step(identity_network, facts, [one], views, [0], 0.8, done=40)
    assert counts[2] > 0
    np.testing.assert_array_equal(method.histogram.numbers("all")[0], counts)
    np.testing.assert_allclose(after["mask_rate"], np.mean(refined.max(1) >= 0.8), rtol=1e-6)
    assert after["mask_rate"] != before["mask_rate"]


@pytest.mark.parametrize("memory", ["epoch", "bank"])
def test_class_weights_follow_the_networks_own_labels_where_that_is_asked(
    make, make_facts, make_hyper, fixmatch_step, memory
):
    facts = make_facts(COUNTS, pool_size=POOL)
    dynamic = class_weights.DynamicWeights(raw_weights(make_hyper), facts)
    dynamic.class_weights.assign([1.0, 2.0, 4.0])
    views, _, counts = head_heavy_views()
    flags = {"pseudo_count": "unrefined", "pseudo_memory": memory}
    terms, _, _, method = fixmatch_step(
        identity_network, facts, [make(), dynamic], views, [0], 0.0, done=40, **flags
    )
    # A picture is learned with its refined label and weighed by it.
    expected = np.log(3) * counts @ [1, 2, 4] / POOL
    np.testing.assert_allclose(terms["loss_unlabeled"], expected, rtol=1e-5)
    loss = np.log(3) * counts * [1, 2, 4]
    np.testing.assert_allclose(method.histogram.loss_by_class(), loss, rtol=1e-5)
    # Counted is what the network says, and that is class 0 of all.
    entry = method.end_epoch(40)
    assert entry["pseudo_numbers"] == [POOL, 1, 1]
    expected = 0.5 / (1 - 0.5 ** np.array([POOL, 1.0, 1.0]))
    np.testing.assert_allclose(dynamic.class_weights, expected, rtol=1e-6)
    if memory == "epoch":  # and each epoch anew
        assert method.histogram.numbers("unrefined")[0].tolist() == [0, 0, 0]


def raw_weights(make_hyper):
    return make_hyper(
        beta="0.5",
        weight_normalization="none",
        max_weight_ratio=0.0,
        reweight_start=0.0,
        pseudo_smoothing=0.0,
    )


def test_class_weights_follow_the_refined_labels(make, make_facts, make_hyper, fixmatch_step):
    facts = make_facts(COUNTS, pool_size=POOL)
    dynamic = class_weights.DynamicWeights(raw_weights(make_hyper), facts)
    dynamic.class_weights.assign([1.0, 2.0, 4.0])
    views, _, counts = head_heavy_views()
    terms, _, _, method = fixmatch_step(
        identity_network, facts, [make(), dynamic], views, [0], 0.0, done=40
    )
    # The strong views say 1/3 each; a picture weighs 1, 2 or 4 by its refined label.
    expected = np.log(3) * counts @ [1, 2, 4] / POOL
    np.testing.assert_allclose(terms["loss_unlabeled"], expected, rtol=1e-5)
    method.end_epoch(40)
    expected = 0.5 / (1 - 0.5 ** np.maximum(counts, 1.0))
    np.testing.assert_allclose(dynamic.class_weights, expected, rtol=1e-6)


def test_mixmatch_hands_over_its_sharpened_labels(make, mixmatch_targets):
    one = make(darp_start=0.0)
    logits = np.random.default_rng(3).normal(size=[POOL, 3]).astype(np.float32)
    got = mixmatch_targets(identity_network, one, logits)
    sharp = tf.nn.softmax(2 * logits)  # both views agree; T = 1/2
    np.testing.assert_allclose(one.latest.read_value(), sharp, rtol=1e-5)
    np.testing.assert_allclose(got, refined_in_numpy(sharp), atol=1e-5)


def test_every_replica_holds_the_whole_bank(make, two_replicas):
    one = make(darp_start=0.0, darp_refresh=2)
    with two_replicas.scope():
        two = make(darp_start=0.0, darp_refresh=2)

    @tf.function
    def step(labels, index, step):
        return two_replicas.run(
            lambda labels, index: two.refine(labels, base.Weak(labels, index, step, None, 100)),
            args=(labels, index),
        )

    for done in range(4):
        index = np.random.default_rng(done).permutation(POOL)[:6]
        labels = rows(6, done)
        expected = one.refine(labels, weak(index, done))
        halves = [
            two_replicas.experimental_distribute_values_from_function(
                lambda context, whole=whole: whole[3 * context.replica_id_in_sync_group :][:3]
            )
            for whole in (labels, tf.constant(index, tf.int64))
        ]
        got = step(*halves, tf.constant(done, tf.int64))
        got = tf.concat(two_replicas.experimental_local_results(got), axis=0)
        np.testing.assert_allclose(got, expected, atol=1e-6)
    for name in ("latest", "refined"):
        for copy in two_replicas.experimental_local_results(getattr(two, name)):
            expected = getattr(one, name).read_value()
            np.testing.assert_allclose(copy.read_value(), expected, atol=1e-6)
