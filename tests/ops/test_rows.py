import numpy as np
import pytest

from drw_tf.ops import rows


def test_blocks_are_all_rows_in_order_in_float64(monkeypatch):
    monkeypatch.setattr(rows, "_BLOCK", 7)  # two rows of three, and one value left over
    logits = np.arange(15, dtype=np.float32).reshape(5, 3)
    found = list(rows.blocks(logits))
    assert [len(block) for _, block in found] == [2, 2, 1]
    for part, block in found:
        assert block.dtype == np.float64
        np.testing.assert_array_equal(block, logits[part])
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), logits)


@pytest.mark.parametrize("block", [1, 12, 1000])
def test_rows_are_judged_alike_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(rows, "_BLOCK", block)
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.3, 0.6]])
    predictions, losses, confidence = rows.judge(logits, np.array([0, 2, 1]))
    assert predictions.tolist() == [0, 1, 2]
    np.testing.assert_allclose(losses, -np.log([0.7, 0.25, 0.3]))
    np.testing.assert_allclose(confidence, [0.7, 0.5, 0.6])
    with pytest.raises(ValueError, match="nan or inf in 2 of 3 rows"):
        rows.judge(np.where(logits < -2, np.inf, logits)[:3], np.array([0, 2, 1]))
