"""Weights from a file."""

import zipfile

import numpy as np
import pytest
from tensorflow import keras

from drw_tf.models import network, registry


def small(init_weights="none"):
    return registry.build_backbone(
        "small_resnet",
        (8, 8, 1),
        batch_norm=network.BatchNorm(),
        normalization=((0.0,), (1.0,)),
        init_weights=init_weights,
    )


@pytest.mark.parametrize("name", ["saved.h5", "saved.weights.h5", "saved.keras"])
def test_weights_of_a_saved_backbone_are_read_back(tmp_path, name):
    source, file = small(), tmp_path / name
    (source.save if name.endswith(".keras") else source.save_weights)(file)
    for got, expected in zip(small(str(file)).get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"^--init_weights must name a file, there is no .*missing\.h5"
    ):
        small(str(tmp_path / "missing.h5"))


@pytest.mark.parametrize("name", ["weights.npz", "weights", "imagenet21k"])
def test_other_kinds_of_file_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^--init_weights must end in \.h5 or \.keras, got"):
        small(str(tmp_path / name))


def test_weights_of_another_network_are_refused(tmp_path):
    other = registry.build_backbone(
        "wide_resnet_10_1",
        (8, 8, 1),
        batch_norm=network.BatchNorm(),
        normalization=((0.0,), (1.0,)),
    )
    other.save_weights(tmp_path / "other.h5")
    with pytest.raises(ValueError, match=r"^--init_weights=.*other\.h5' does not fit small_resnet"):
        small(str(tmp_path / "other.h5"))


def test_file_that_is_not_hdf5_is_refused(tmp_path):
    (tmp_path / "broken.h5").write_text("not weights")
    with pytest.raises(ValueError, match=r"broken\.h5' does not fit small_resnet"):
        small(str(tmp_path / "broken.h5"))


def with_lambda(backbone, marker):
    """The backbone behind a layer whose Python code makes a file."""
    code = f"__import__('pathlib').Path({str(marker)!r}).write_text('ran') and None or x"
    touch = eval(f"lambda x: ({code})")
    images = keras.Input([8, 8, 1])
    return keras.Model(images, backbone(keras.layers.Lambda(touch)(images)))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("name", ["foreign.keras", "foreign.h5"])
def test_code_in_a_file_of_weights_is_not_run(tmp_path, name):
    marker = tmp_path / "marker"
    foreign = with_lambda(small(), marker)
    foreign.save(tmp_path / name)
    assert marker.exists()  # it ran where it was made
    marker.unlink()
    if name.endswith(".keras"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert b"Lambda" in archive.read("config.json")
    with pytest.raises(ValueError, match="does not fit small_resnet"):
        small(str(tmp_path / name))
    assert not marker.exists()
