"""The rows of a step among replicas."""

import numpy as np
import tensorflow as tf

from drw_tf.ops import replicas


def test_all_rows_undoes_own_rows_on_every_replica(two_replicas):
    values = tf.reshape(tf.range(12.0), [6, 2])

    @tf.function
    def both():
        own = replicas.own_rows(values)
        return own, replicas.all_rows(own)

    own, everyone = (two_replicas.experimental_local_results(r) for r in two_replicas.run(both))
    np.testing.assert_array_equal(own[0], values[:3])
    np.testing.assert_array_equal(own[1], values[3:])
    for one in everyone:
        np.testing.assert_array_equal(one, values)


def test_one_replica_has_all_rows():
    values = tf.range(3)
    assert replicas.count() == 1
    np.testing.assert_array_equal(replicas.own_rows(values), values)
    np.testing.assert_array_equal(replicas.all_rows(values), values)
