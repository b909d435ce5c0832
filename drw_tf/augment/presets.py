"""The policies of the published code, and one for handwritten digits, by name."""

import dataclasses

from drw_tf.augment import randaugment

_Op = randaugment.Operation

# "(value / 30) * (high - low) + low" with the range of each operation; no identity.
_ILDOONET = (
    _Op("AutoContrast"),
    _Op("Equalize"),
    _Op("Invert"),
    _Op("Rotate", 0, 30, signed=True),
    _Op("Posterize", 0, 4),
    _Op("Solarize", 0, 256),
    _Op("SolarizeAdd", 0, 110),
    _Op("Color", 0.1, 1.9),
    _Op("Contrast", 0.1, 1.9),
    _Op("Brightness", 0.1, 1.9),
    _Op("Sharpness", 0.1, 1.9),
    _Op("ShearX", 0, 0.3, signed=True),
    _Op("ShearY", 0, 0.3, signed=True),
    _Op("Cutout", 0, 40),
    _Op("TranslateXPixels", 0, 100, signed=True),
    _Op("TranslateYPixels", 0, 100, signed=True),
)
_USB = (
    _Op("AutoContrast"),
    _Op("Brightness", 0.05, 0.95),
    _Op("Color", 0.05, 0.95),
    _Op("Contrast", 0.05, 0.95),
    _Op("Equalize"),
    _Op("Identity"),
    _Op("Posterize", 4, 8),
    _Op("Rotate", -30, 30),
    _Op("Sharpness", 0.05, 0.95),
    _Op("ShearX", -0.3, 0.3),
    _Op("ShearY", -0.3, 0.3),
    _Op("Solarize", 0, 256),
    _Op("TranslateX", -0.3, 0.3),
    _Op("TranslateY", -0.3, 0.3),
)
_FIXMATCH = (
    _Op("AutoContrast"),
    _Op("Brightness", 0.1, 1.9),
    _Op("Color", 0.1, 1.9),
    _Op("Contrast", 0.1, 1.9),
    _Op("Equalize"),
    _Op("Identity"),
    # The source keeps 4 - int(4 * level) bits; whole bits of 4.99 - 4 * level are the same.
    _Op("Posterize", 4.99, 0.99),
    _Op("Rotate", 0, 30, signed=True),
    _Op("Sharpness", 0.1, 1.9),
    _Op("ShearX", 0, 0.3, signed=True),
    _Op("ShearY", 0, 0.3, signed=True),
    _Op("Solarize", 256, 0),
    _Op("TranslateX", 0, 0.3125, signed=True),
    _Op("TranslateY", 0, 0.3125, signed=True),
)
_DIGITS = (
    _Op("Identity"),
    _Op("Rotate", -15, 15),
    _Op("ShearX", -0.2, 0.2),
    _Op("ShearY", -0.2, 0.2),
    _Op("TranslateX", -0.125, 0.125),
    _Op("TranslateY", -0.125, 0.125),
    _Op("Brightness", 0.6, 1.4),
    _Op("Contrast", 0.6, 1.4),
)
_IMAGE_MEAN = (125, 123, 114)
_DARP = randaugment.RandAugment(
    _ILDOONET, count=3, levels=(4 / 30,), before_crop=True, cutout_color=_IMAGE_MEAN
)
_PRESETS = {
    "darp_cifar10": _DARP,
    "darp_cifar100": dataclasses.replace(_DARP, count=2, levels=(14 / 30,)),
    "fixmatch": randaugment.RandAugment(
        _FIXMATCH,
        count=2,
        levels=tuple(level / 10 for level in range(1, 10)),
        probability=0.5,
        fill=128,
        cutout_color=(128, 128, 128),
    ),
    "usb": randaugment.RandAugment(
        _USB, count=3, cutout_color=_IMAGE_MEAN, random_cutout=True
    ),
    "digits": randaugment.RandAugment(_DIGITS, count=2, cutout_fraction=0.25),
}
NAMES = tuple(_PRESETS)


def preset(name: str, order: str = randaugment.COMPOSED) -> randaugment.RandAugment:
    """The policy of that name.

    Args:
        name: one of `NAMES`.
        order: "composed" or "drawn".

    Raises:
        KeyError: there is no such policy.
    """
    if name not in _PRESETS:
        raise KeyError(f"policy must be one of {', '.join(NAMES)}, got {name}.")
    return dataclasses.replace(_PRESETS[name], order=order)
