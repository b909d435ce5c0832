"""Backbones by name."""

import re
from collections.abc import Sequence

from tensorflow import keras

from drw_tf.models import applications, network, resnet, small_resnet, weights, wide_resnet

_WIDE_RESNET = re.compile(r"wide_resnet_(\d+)_(\d+)")
_FIXED = ("resnet50", "resnet50_small_images", "small_resnet")
_OWN = ("wide_resnet_<depth>_<width>", *_FIXED)


def _build_own(name, image_shape, **arguments) -> keras.Model:
    match = _WIDE_RESNET.fullmatch(name)
    if match:
        depth, width = map(int, match.groups())
        return wide_resnet.build(image_shape, depth=depth, width=width, **arguments)
    if name == "small_resnet":
        return small_resnet.build(image_shape, **arguments)
    small_images = name == "resnet50_small_images"
    return resnet.build(image_shape, small_images=small_images, **arguments)


def build_backbone(
    name: str,
    image_shape: Sequence[int],
    *,
    batch_norm: network.BatchNorm,
    normalization: tuple[Sequence[float], Sequence[float]],
    init_weights: str = "none",
) -> keras.Model:
    """The backbone called `name`: images -> features.

    It computes in the dtype of Keras' global policy; images come in as float32 and the
    first layer, which normalises them, works in float32.

    Args:
        name: "wide_resnet_<depth>_<width>" (depth 6 n + 4), "resnet50",
            "resnet50_small_images", "small_resnet", or "applications/" and a name of
            `applications.names`.
        image_shape: (height, width, channels), 1 or 3 channels.
        batch_norm: what is `None` in it is the published constant of the backbone.
        normalization: (mean, std) of the data, one number a channel. The networks of
            keras.applications prepare images as they were trained to, without it.
        init_weights: "none", "imagenet" (keras.applications only), or a file of weights.

    Returns:
        A functional model, float32 [B, H, W, Ch] in [0, 1] -> [B, F].

    Raises:
        ValueError: the name is unknown, or the backbone cannot take these images or
            these weights.
    """
    image_shape = tuple(image_shape)
    if len(image_shape) != 3 or image_shape[2] not in (1, 3):
        raise ValueError(f"image_shape must be (height, width, 1 or 3), got {image_shape}.")
    if name.startswith(applications.PREFIX):
        return applications.build(
            name.removeprefix(applications.PREFIX),
            image_shape,
            batch_norm=batch_norm,
            init_weights=init_weights,
        )
    if name not in _FIXED and not _WIDE_RESNET.fullmatch(name):
        known = (*_OWN, f"{applications.PREFIX}<name in keras.applications>")
        raise ValueError(f"--model must be one of {', '.join(known)}, got {name!r}.")
    if init_weights == "imagenet":
        raise ValueError(
            f"--init_weights=imagenet is for {applications.PREFIX}... only, not for {name}."
        )
    model = _build_own(name, image_shape, batch_norm=batch_norm, normalization=normalization)
    if init_weights != "none":
        weights.load(model, init_weights)
    return model
