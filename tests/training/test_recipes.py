"""One step of every recipe; and that the flags a recipe reads change what it does."""

import numpy as np
import pytest

from drw_tf import recipes
from drw_tf.data import pipeline
from drw_tf.training import assembly, stages


@pytest.fixture
def one_step(quarters, resolve):
    """one_step("--method=...", ...): what the middle step of a run of 20 gives to the log."""

    def run(*arguments):
        config = resolve(*arguments)
        dataset, split = quarters
        method = assembly.build_method(config, dataset, split)
        parts = stages.Stages(config, dataset, split, method, None, None)
        assembly.compile_method(config, method, parts.all[0])
        method.optimizer.iterations.assign(10)
        batches = pipeline.training_batches(
            dataset.train, parts.streams(0), assembly.views(config, dataset), config.seed
        )
        method.train_step(next(iter(batches)))
        return method, method.end_epoch(11)

    return run


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_one_step_is_finite_and_no_term_is_idle(one_step, name):
    reads = recipes.RECIPES[name].flags
    wanted = {"threshold": "0", "forward": "joint"}
    arguments = [f"--{flag}={value}" for flag, value in wanted.items() if flag in reads]
    method, entry = one_step(f"--method={name}", *arguments)
    names = set(method.means.names) - set(method.scalars)
    assert names >= {"loss", "loss_labeled"}
    for term in names:
        assert np.isfinite(entry["train"][term]), term
        assert entry["train"][term] > 0, term
    for network in (method.network, method.ema_network):
        for variable in network.variables:
            assert np.isfinite(variable).all(), variable.name


@pytest.mark.parametrize(
    ("method", "flag"),
    [
        ("mean_teacher", "--lambda_u=8"),
        ("mean_teacher", "--ramp=sigmoid"),
        ("mean_teacher", "--ramp_fraction=1"),
        ("vat", "--vat_radius=2"),
        ("vat", "--vat_difference=1"),
        ("vat", "--vat_iterations=2"),
        ("mixmatch", "--mixup_alpha=0"),
        ("mixmatch", "--temperature=1"),
        ("mixmatch", "--forward=separate"),
        ("remixmatch", "--align_distribution=false"),
        ("remixmatch", "--rotation_weight=1"),
        ("remixmatch", "--strong_weight=1"),
        ("remixmatch", "--strong_views=1"),
        ("remixmatch", "--randaugment=usb"),
    ],
)
def test_a_flag_changes_the_losses(one_step, method, flag):
    default, changed = (one_step(f"--method={method}", *more)[1] for more in ([], [flag]))
    assert changed["train"] != pytest.approx(default["train"], rel=1e-4)
