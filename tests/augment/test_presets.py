import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import presets, views

# Names of the published code for what is called otherwise here.
ILDOONET = {
    "CutoutAbs": "Cutout",
    "TranslateXabs": "TranslateXPixels",
    "TranslateYabs": "TranslateYPixels",
}


def ranges(policy):
    without = ("AutoContrast", "Equalize", "Identity", "Invert")
    return {o.name: None if o.name in without else (o.low, o.high) for o in policy.operations}


def recorded_ranges(recorded, source, renamed):
    without = ("AutoContrast", "Equalize", "Identity", "Invert")
    return {
        renamed.get(name, name): None if name in without else (low, high)
        for name, low, high in recorded["ranges"][source]["operations"]
    }


@pytest.mark.parametrize(
    ("name", "count", "level"), [("darp_cifar10", 3, 4), ("darp_cifar100", 2, 14)]
)
def test_the_policies_of_darp_have_its_operations_and_ranges(name, count, level, recorded):
    policy = presets.preset(name)
    assert ranges(policy) == recorded_ranges(recorded, "ildoonet", ILDOONET)
    assert policy.count == count
    np.testing.assert_allclose(policy.levels, [level / 30])
    assert policy.before_crop
    signed = {o.name for o in policy.operations if o.signed}
    assert signed == {"Rotate", "ShearX", "ShearY", "TranslateXPixels", "TranslateYPixels"}


def test_the_policy_of_usb_has_its_operations_and_ranges(recorded):
    policy = presets.preset("usb")
    assert ranges(policy) == recorded_ranges(recorded, "usb", {})
    assert (policy.count, policy.levels, policy.random_cutout) == (3, (), True)


def test_fixmatch_magnitudes_are_the_whole_numbers_of_its_code():
    policy = presets.preset("fixmatch")
    by_name = {o.name: o for o in policy.operations}
    assert len(by_name) == 14

    def at(name, level):
        return by_name[name].low + level * (by_name[name].high - by_name[name].low)

    for tenths in range(1, 10):
        level = tenths / 10
        # int(level * maximum) there; 10 pixels are 0.3125 of 32.
        assert int(at("Posterize", level)) == 4 - int(level * 4)
        np.testing.assert_allclose(at("Rotate", level), tenths * 3)
        np.testing.assert_allclose(32 * at("TranslateX", level), tenths)
        assert int(np.ceil(at("Solarize", level))) == 256 - int(level * 256)
        np.testing.assert_allclose(at("Contrast", level), level * 1.8 + 0.1)
    assert policy.levels == tuple(tenths / 10 for tenths in range(1, 10))
    assert (policy.count, policy.probability) == (2, 0.5)


def test_digits_are_neither_inverted_nor_moved_far():
    policy = presets.preset("digits")
    assert not set(ranges(policy)) & {"Invert", "Solarize", "SolarizeAdd", "Equalize", "Posterize"}
    assert all(abs(o.high) <= 1 / 8 for o in policy.operations if o.name.startswith("Translate"))


def test_a_translation_of_darp_on_cifar100_leaves_nothing_of_the_picture():
    policy = dataclasses.replace(presets.preset("darp_cifar100", "drawn"), cutout_fraction=0.0)
    names = [o.name for o in policy.operations]
    # Level 14 of 30 is 46.7 pixels.
    translate, autocontrast = names.index("TranslateXPixels"), names.index("AutoContrast")
    draws = {
        "operation": tf.constant([[translate, autocontrast]]),
        "magnitude": tf.constant([[1400 / 30, 0.0]]),
        "place": tf.zeros([1, 2, 2]),
    }
    maker = views.Views((32, 32, 3), False, 0, policy)
    got = maker.apply("strong", tf.fill([1, 32, 32, 3], tf.constant(200, tf.uint8)), draws)
    assert got.numpy().max() == 0


def test_an_unknown_policy_names_the_known_ones():
    with pytest.raises(KeyError, match=r"policy must be one of darp_cifar10, .*, got cifar"):
        presets.preset("cifar")
