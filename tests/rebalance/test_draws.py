"""Random numbers of a step: repeatable, different where they should be, split over replicas."""

import numpy as np
import tensorflow as tf

from drw_tf.rebalance import draws


def test_seed_name_and_step_decide():
    def draw(seed=1, name="a", step=2):
        return draws.uniform_rows(seed, name, tf.constant(step, tf.int64), 1000).numpy()

    np.testing.assert_array_equal(draw(), draw())
    others = [draw(seed=2), draw(name="b"), draw(step=3)]
    for other in others:
        assert abs(np.corrcoef(draw(), other)[0, 1]) < 0.15  # 4.7 standard errors
    assert abs(draw().mean() - 0.5) < 0.05
    assert 0 <= draw().min() < draw().max() < 1


def test_replicas_share_the_numbers_of_the_whole_batch(two_replicas):
    whole = draws.uniform_rows(1, "a", tf.constant(2, tf.int64), 6)

    @tf.function
    def run():
        return two_replicas.run(lambda: draws.uniform_rows(1, "a", tf.constant(2, tf.int64), 3))

    parts = two_replicas.experimental_local_results(run())
    np.testing.assert_array_equal(np.concatenate(parts), whole)
