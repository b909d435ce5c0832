import numpy as np
import pytest

from drw_tf.ops import rows


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
