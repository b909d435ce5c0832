"""Flags that a method reads change what a step of it does."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.training import assembly, stages


def batch_of(stream, dataset):
    """A batch of this stream; a view differs from the picture by noise of its own."""
    index = np.arange(stream.batch) % len(stream.rows)
    pixels = dataset.train.pixels[stream.rows[index]]
    batch = {"index": tf.constant(index, tf.int64)}
    if stream.labels is not None:
        batch["label"] = tf.constant(stream.labels[index], tf.int32)
    for number, view in enumerate(stream.views):
        noise = np.random.default_rng(number).integers(0, 60, pixels.shape)
        batch[view] = tf.constant((pixels + noise).astype(np.uint8))
    return batch


@pytest.fixture
def one_step(quarters, resolve):
    """one_step("--method=...", ...): mean losses of the middle step of 20."""

    def run(*arguments):
        config = resolve(*arguments)
        dataset, split = quarters
        method = assembly.build_method(config, dataset, split)
        parts = stages.Stages(config, dataset, split, method, None, None)
        assembly.compile_method(config, method, parts.all[0])
        method.optimizer.iterations.assign(10)
        method.train_step({part.key: batch_of(part, dataset) for part in parts.streams(0)})
        return method.means.result()

    return run


@pytest.fixture(scope="module")
def defaults():
    """Losses by method, without further flags."""
    return {}


@pytest.mark.parametrize(
    ("method", "flag"),
    [
        ("mean_teacher", "--lambda_u=8"),
        ("mean_teacher", "--ramp_fraction=1"),
        ("vat", "--lambda_u=8"),
        ("vat", "--ramp_fraction=1"),
        ("vat", "--vat_radius=2"),
        ("vat", "--vat_difference=1"),
        ("vat", "--vat_iterations=2"),
        ("mixmatch", "--ramp=sigmoid"),
        ("mixmatch", "--mixup_alpha=0"),
        ("mixmatch", "--temperature=1"),
        ("mixmatch", "--forward=separate"),
        ("remixmatch", "--align_distribution=false"),
        ("remixmatch", "--rotation_weight=1"),
        ("remixmatch", "--strong_weight=1"),
        ("remixmatch", "--strong_views=1"),
    ],
)
def test_a_flag_changes_the_losses(one_step, defaults, method, flag):
    if method not in defaults:
        first, second = (one_step(f"--method={method}") for _ in range(2))
        assert first == pytest.approx(second, rel=1e-6)  # nothing else changes them
        defaults[method] = first
    changed = one_step(f"--method={method}", flag)
    assert changed != pytest.approx(defaults[method], rel=1e-4)
    for found in (defaults[method], changed):
        assert np.isfinite(list(found.values())).all()
