"""The flag table, which imports nothing, offers what the modules take."""

import pytest

from drw_tf import flag_table
from drw_tf.augment import presets, randaugment
from drw_tf.data import image_scan, long_tail
from drw_tf.models import precision, registry
from drw_tf.ops import logit_adjustment, reweighting, schedules


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("schedule", schedules.SHAPES),
        ("ramp", schedules.RAMPS),
        ("randaugment", presets.NAMES),
        ("randaugment_order", (randaugment.COMPOSED, randaugment.DRAWN)),
        ("weight_normalization", reweighting.NORMALIZATIONS),
        ("la_prior", logit_adjustment.PRIORS),
        ("unlabeled_order", long_tail.ORDERS),
        ("on_bad_image", image_scan.ON_BAD),
        ("precision", precision.POLICIES),
    ],
)
def test_a_flag_offers_what_its_module_takes(name, known):
    flag = flag_table.BY_NAME[name]
    assert set(flag.allowed.removeprefix("one of ").split(", ")) == set(known)
    assert all(flag.check(one) for one in known)


def test_the_model_flag_names_the_backbones_of_the_registry():
    assert flag_table._MODELS == registry._FIXED
    flag = flag_table.BY_NAME["model"]
    for name in registry._FIXED:
        assert flag.check(name)
        assert name in flag.help
