"""The mean over the last batches against the recorded numbers, and on two replicas."""

import numpy as np
import tensorflow as tf

from drw_tf.rebalance import running_mean


def test_states_match_the_published_code(golden):
    (case,) = [c for c in golden("crest")["cases"] if c["inputs"]["kind"] == "running"]
    inputs, states = case["inputs"], case["outputs"]["p_model_states"]
    one = running_mean.RunningMean(inputs["num_classes"], inputs["buffer"])
    np.testing.assert_allclose(one.value(), states[0], rtol=1e-6)
    for step, batch in enumerate(inputs["batches_of_probs"]):
        one.add(tf.constant(batch, tf.float32), tf.constant(step, tf.int64))
        np.testing.assert_allclose(one.value(), states[step + 1], rtol=1e-5)
    one.reset()
    np.testing.assert_allclose(one.value(), states[0], rtol=1e-6)


def test_two_replicas_hold_the_mean_of_the_whole_batch(two_replicas):
    with two_replicas.scope():
        one = running_mean.RunningMean(2, 2)
    parts = [tf.constant([[1.0, 0.0]]), tf.constant([[0.5, 0.5]])]

    @tf.function
    def add(rows):
        def step(rows):
            one.add(rows, tf.constant(0, tf.int64))
            return one.value()

        return two_replicas.run(step, args=(rows,))

    rows = two_replicas.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    # Rows of the buffer: (.75, .25), the batch's mean, and the initial (.5, .5).
    for value in two_replicas.experimental_local_results(add(rows)):
        np.testing.assert_allclose(value, [0.625, 0.375])
    np.testing.assert_allclose(one.rows.read_value(), [[0.75, 0.25], [0.5, 0.5]])
    one.reset()
    np.testing.assert_allclose(one.rows.read_value(), [[0.5, 0.5], [0.5, 0.5]])
