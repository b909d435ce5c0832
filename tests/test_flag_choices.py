"""The flag table, which imports nothing, offers what the modules take."""

import pytest
import tensorflow as tf

from drw_tf import flag_table
from drw_tf.augment import presets, randaugment, views
from drw_tf.data import image_scan, long_tail
from drw_tf.models import applications, precision, registry
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


@pytest.mark.parametrize("name", presets.NAMES)
def test_the_flag_table_knows_which_presets_pad_with_black(name):
    pictures = tf.fill([1, 8, 8, 1], tf.constant(9, tf.uint8))
    made = views.Views((8, 8, 1), False, 2, presets.preset(name))
    corner = made.apply("weak", pictures, {"shift": tf.constant([[0, 0]])})[0, 0, 0, 0]
    assert corner.numpy() == (0 if name in flag_table.BLACK_PADDING else 9)


def test_the_model_flag_names_the_backbones_of_the_registry():
    assert flag_table._MODELS == registry._FIXED
    assert flag_table.APPLICATIONS == applications.PREFIX
    flag = flag_table.BY_NAME["model"]
    for name in registry._FIXED:
        assert flag.check(name)
        assert name in flag.help
