"""The policies of the published code, and one for small digits, by name.

    name            slots  operations  level                Cutout
    darp_cifar10    3      16          4 / 30               half the side
    darp_cifar100   2      16          14 / 30              half the side
    fixmatch        2      14, p = .5  .1, .2, ... or .9    half the side, grey
    usb             3      14          any                  up to half the side
    digits          2      8, gentle   any                  a quarter of the side, black

darp_*: bbuing9/DARP, dataset/fix_cifar10.py and all_cifar100.py, which call the package
ildoonet/pytorch-randaugment (RandAugment/augmentations.py). Followed as it is:

* The operations come before crop and flip, and the crop pads with black. That order is
  "drawn"; "composed", the faster default, lets the padding take part in the colours.
* There is no identity; Invert, SolarizeAdd and a small Cutout are among the operations.
* Posterize keeps max(1, int(4 m / 30)) bits: always 1.
* SolarizeAdd adds to all pixels and then inverts those from 128 on.
* Translations are 100 m / 30 pixels whatever the size of the picture. With m = 14 that is
  46.7, more than a CIFAR-100 picture is wide, and leaves nothing of 23 % of the pictures.
* Brightness, Color, Contrast and Sharpness are .1 + 1.8 m / 30, so with m < 15 below 1.
* CIFAR-100 is normalised with the mean of CIFAR-10, so that is what Cutout paints.

Not followed: Cutout paints zeros after the normalisation, here the mean of CIFAR-10 before it,
rounded to whole grey levels, also where a preset is used on other pictures. The operations
of the package are meant for 32 x 32.

fixmatch: google-research/fixmatch, libml/augment.py (AugmentPoolRAMC) and
third_party/auto_augment/augmentations.py. Not followed: what a geometric operation moves in
is transparent there and becomes grey in the end, here it is grey at once and takes part in
the operations after it; the translation of at most 10 pixels is a fraction of the side, so
that it also suits pictures that are not 32 x 32; grey is 128, not 127.5. google-research/
crest differs from it in its 16 operations and in levels anywhere in [0, 1].

usb: microsoft/Semi-supervised-learning, semilearn/datasets/augmentation/randaugment.py,
called as RandAugment(3, 5) there, where the 5 is never used: levels are random. Cutout is drawn
as Pillow does, see `cutout.inclusive_boxes`.

digits: for scikit-learn's 8 x 8 digits on black. Not published anywhere. Rotations, shears
and shifts of at most a pixel or two, no inversion, nothing that needs many grey levels.
"""

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
    "usb": randaugment.RandAugment(_USB, count=3, cutout_color=_IMAGE_MEAN, random_cutout=True),
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
