"""What a step changed stands again as it was, and what it costs to be able to."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import undo
from drw_tf.rebalance import banks


def own_state(value):
    """A variable of which each replica has a copy of its own, all alike."""
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


@pytest.fixture
def step():
    """A step that writes rows of a bank, one of them twice, and all of two variables."""
    bank, whole = own_state(tf.zeros([6, 2])), own_state(tf.zeros([6, 2]))
    weight = tf.Variable([1.0])

    @tf.function
    def run(index, rows, bad):
        trial = undo.Undo([whole, weight], [bank], index)
        banks.write_rows(bank, index, rows)
        whole.assign(whole + 1.0)
        weight.assign_add([1.0])
        trial.where(bad)

    run.state = lambda: [one.numpy().tolist() for one in (bank, whole, weight)]
    return run


INDEX = tf.constant([4, 1, 4], tf.int64)
ROWS = tf.constant([[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]])


def test_only_a_bad_step_is_undone(step):
    good = [[0, 0], [1, 2], [0, 0], [0, 0], [5, 6], [0, 0]], np.ones([6, 2]).tolist(), [2]
    step(INDEX, ROWS, tf.constant(False))
    assert step.state() == list(good)
    step(INDEX, ROWS + 9, tf.constant(True))
    assert step.state() == list(good)
    step(INDEX - 1, ROWS, tf.constant(False))
    assert step.state()[0] == [[1, 2], [1, 2], [0, 0], [5, 6], [5, 6], [0, 0]]


def test_a_bank_is_never_read_or_written_whole(step):
    graph = step.get_concrete_function(INDEX, ROWS, tf.constant(False)).graph
    written = {
        one.inputs[0].name
        for one in graph.get_operations()
        if one.type == "ResourceScatterNdUpdate"
    }
    assert len(written) == 1
    used = {
        one.type for one in graph.get_operations() if written & {given.name for given in one.inputs}
    }
    assert used == {"ResourceGather", "ResourceScatterNdUpdate"}


def test_of_state_that_is_large_nothing_is_written_after_a_good_step(step):
    graph = step.get_concrete_function(INDEX, ROWS, tf.constant(False)).graph
    # The step's own: of the whole state, and of the weight. What undoes the weight is the third.
    writes = [one.type for one in graph.get_operations() if one.type.startswith("Assign")]
    assert sorted(writes) == ["AssignAddVariableOp", "AssignVariableOp", "AssignVariableOp"]


def test_a_step_compiled_by_xla_is_undone_too(step):
    compiled = tf.function(step.python_function, jit_compile=True)
    compiled(INDEX, ROWS, tf.constant(False))
    before = step.state()
    compiled(INDEX, ROWS + 9, tf.constant(True))
    assert step.state() == before
    assert before[0][4] == [5, 6]
