import pytest

from drw_tf.ops import crt_steps


@pytest.mark.parametrize(
    ("epochs", "fraction", "head"),
    [(10, 0.3, 3), (10, 0.25, 2), (60, 0.7, 42), (10, 0.01, 1), (2, 0.99, 1), (10, 0.99, 9)],
)
def test_the_head_has_whole_epochs_and_leaves_one(epochs, fraction, head):
    # Halves go to the even neighbour: .25 of ten epochs are two.
    assert crt_steps.head_steps(50 * epochs, 50, fraction) == 50 * head
