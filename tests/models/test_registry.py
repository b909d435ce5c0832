"""Backbones by name."""

import pytest

from drw_tf.models import network, registry

GREY, RGB = ((0.0,), (1.0,)), ((0.0,) * 3, (1.0,) * 3)


def build(name, image_shape=(32, 32, 3), **arguments):
    arguments.setdefault("batch_norm", network.BatchNorm())
    arguments.setdefault("normalization", GREY if image_shape[-1] == 1 else RGB)
    return registry.build_backbone(name, image_shape, **arguments)


@pytest.mark.parametrize(
    ("name", "image_shape", "features"),
    [
        ("wide_resnet_16_2", (32, 32, 3), 128),
        ("small_resnet", (8, 8, 1), 64),
        ("resnet50", (32, 32, 3), 2048),
        ("resnet50_small_images", (16, 16, 1), 2048),
    ],
)
def test_name_gives_a_backbone_from_images_to_features(name, image_shape, features):
    model = build(name, list(image_shape))
    assert model.name == name
    assert model.input_shape == (None, *image_shape)
    assert model.output_shape == (None, features)
    assert model.input.dtype == "float32"


@pytest.mark.parametrize(
    "name", ["resnet51", "wide_resnet", "wide_resnet_28", "wide_resnet_28_2x", "Wide_resnet_28_2"]
)
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"must be one of wide_resnet_<depth>.*resnet50.*got"):
        build(name)


def test_wrong_depth_is_refused():
    with pytest.raises(ValueError, match=r"wide_resnet_27_2 must be 6 n \+ 4"):
        build("wide_resnet_27_2")


def test_network_too_large_for_the_images_is_refused():
    with pytest.raises(ValueError, match="resnet50 is too large for images of 8x8"):
        build("resnet50", (8, 8, 1))


@pytest.mark.parametrize("image_shape", [(8, 8), (8, 8, 2), (8, 8, 4)])
def test_images_that_are_neither_grey_nor_rgb_are_refused(image_shape):
    with pytest.raises(ValueError, match="must be \\(height, width, 1 or 3\\), got"):
        build("small_resnet", image_shape)


def test_imagenet_weights_are_refused_for_own_networks():
    with pytest.raises(ValueError, match=r"init_weights=imagenet is for applications/.* only"):
        build("small_resnet", (8, 8, 1), init_weights="imagenet")
