"""Class-balanced sampling is one stage that asks for it."""

from drw_tf.rebalance import base, resampling


def test_the_whole_run_draws_every_class_equally_often(make_facts, make_hyper):
    one = resampling.ClassBalancedSampling(make_hyper(), make_facts([4, 2]))
    assert one.stages(50) == [base.Stage("training", 50, sampling="class_balanced")]
    assert one.supervised_loss(None, None) is None
    assert one.labeled_weights(None) is None
