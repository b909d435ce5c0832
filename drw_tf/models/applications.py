"""The networks of `keras.applications` as backbones, their preprocessing inside the graph."""

import inspect
import os
from collections.abc import Sequence

import numpy as np
from tensorflow import keras

from drw_tf.models import network, weights

PREFIX = "applications/"

# How each module's `preprocess_input` treats RGB images of [0, 255]. "included": not
# at all, the network's own first layers do.
_MODES = {
    "caffe": ("resnet", "vgg16", "vgg19"),
    "tf": (
        "inception_resnet_v2",
        "inception_v3",
        "mobilenet",
        "mobilenet_v2",
        "nasnet",
        "resnet_v2",
        "xception",
    ),
    "torch": ("densenet",),
    "included": (
        "convnext",
        "efficientnet",
        "efficientnet_v2",
        "mobilenet_v3",
        "regnet",
        "resnet_rs",
    ),
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (scale, offset) of images in [0, 1]; "caffe" is for blue, green, red.
_RESCALINGS = {
    "caffe": (255.0, [-103.939, -116.779, -123.68]),
    "tf": (2.0, -1.0),
    "torch": ([1 / s for s in _STD], [-m / s for m, s in zip(_MEAN, _STD, strict=True)]),
    "included": (255.0, 0.0),
}


def names() -> tuple[str, ...]:
    """The functions of `keras.applications` that build a network, sorted."""
    members = vars(keras.applications).items()
    return tuple(sorted(name for name, member in members if inspect.isfunction(member)))


def preprocessing_mode(application: str) -> str:
    """How the images of `application` are prepared: "caffe", "tf", "torch" or "included"."""
    module = getattr(keras.applications, application).__module__.rpartition(".")[2]
    for key, modules in _MODES.items():
        if module in modules:
            return key
    raise ValueError(f"How images of {PREFIX}{application} are prepared is not known.")


def preprocess(images, mode: str):
    """The images as the network's `preprocess_input` would give them, from built-in layers.

    Args:
        images: Keras tensor, float32 [B, H, W, 1 or 3] in [0, 1]; grey is repeated.
        mode: see `preprocessing_mode`.

    Returns:
        Keras tensor, float32 [B, H, W, 3].
    """
    if images.shape[-1] == 1:
        images = keras.layers.Concatenate(name="grey_to_rgb")([images] * 3)
    if mode == "caffe":
        images = images[:, :, :, ::-1]  # Keras cannot save an ellipsis.
    scale, offset = _RESCALINGS[mode]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalization")(images)


def _keras_folder() -> str:
    """Where `keras.utils.get_file` has weights; `KERAS_HOME` does not move it."""
    home = os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(home if os.access(home, os.W_OK) else "/tmp/.keras", "models")


def _construct(application: str, height: int, width: int, init_weights: str) -> keras.Model:
    imagenet = init_weights == "imagenet"
    try:
        model = getattr(keras.applications, application)(
            weights="imagenet" if imagenet else None,
            include_top=False,
            pooling="avg",
            input_shape=(height, width, 3),
        )
    except Exception as error:  # Keras raises nothing narrower when a download fails.
        if "URL fetch failure on " in str(error):
            url = str(error).removeprefix("URL fetch failure on ").partition(": ")[0]
            raise ValueError(
                f"--init_weights=imagenet: the weights of {PREFIX}{application} could not be "
                f"downloaded. Get {url} and put it into {_keras_folder()}."
            ) from error
        if isinstance(error, ValueError):
            raise ValueError(
                f"{PREFIX}{application} cannot be built for images of {height}x{width}: {error}"
            ) from error
        raise
    if not imagenet and init_weights != "none":
        weights.load(model, init_weights)
    return model


def _needs_change(layer: keras.layers.Layer, batch_norm: network.BatchNorm) -> bool:
    if isinstance(layer, keras.layers.BatchNormalization):
        return batch_norm != network.BatchNorm()
    return isinstance(layer, keras.layers.Normalization) and layer.input_mean is None


def _changed(layer: keras.layers.Layer, batch_norm: network.BatchNorm) -> keras.layers.Layer:
    """A new layer like `layer`, with the wanted batch normalisation and without adapted state."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        filled = batch_norm.filled(layer.momentum, layer.epsilon)
        config.update(momentum=filled.momentum, epsilon=filled.epsilon)
        return keras.layers.BatchNormalization.from_config(
            {**config, "synchronized": filled.synchronized}
        )
    if _needs_change(layer, batch_norm):
        # An adapted normalisation would not follow its own variables into an averaged
        # copy of the network, and one of them is an integer.
        mean, variance = (np.ravel(v).tolist() for v in (layer.adapt_mean, layer.adapt_variance))
        return network.normalization_layer(mean, np.sqrt(variance).tolist(), name=layer.name)
    return layer.__class__.from_config(config)


def _has_batch_norm(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def _customize(model: keras.Model, batch_norm: network.BatchNorm) -> keras.Model:
    if not any(_needs_change(layer, batch_norm) for layer in model.layers):
        return model
    copy = keras.models.clone_model(model, clone_function=lambda layer: _changed(layer, batch_norm))
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def build(
    application: str,
    image_shape: Sequence[int],
    *,
    batch_norm: network.BatchNorm,
    init_weights: str = "none",
) -> keras.Model:
    """A network of `keras.applications` without its top, averaged over the positions.

    It is one layer of the result. Keras 2.15 loads the .keras file that it writes of a ConvNeXt
    only where it is told what a LayerScale is; a SavedModel of it loads anywhere.

    Args:
        application: a name of `names()`, such as "MobileNetV2".
        image_shape: (height, width, 1 or 3); grey images are repeated to three channels.
        batch_norm: its `None`s keep what Keras gives each layer of this network.
        init_weights: "none", "imagenet" (downloaded by Keras, or found in ~/.keras/models),
            or a file of the network without its top. Files that Keras publishes belong into
            ~/.keras/models: EfficientNet scales its input differently with "imagenet".

    Returns:
        float32 [B, H, W, Ch] in [0, 1] -> [B, F]. The preparation of the images is the
        network's own, not the data set's.

    Raises:
        ValueError: `application` is unknown, the images are too small for it, the weights
            cannot be had, or a network without batch normalisation is given constants of it
            or is to synchronize it.
    """
    if application not in names():
        raise ValueError(
            f"--model must be one of {', '.join(PREFIX + n for n in names())}, "
            f"got {PREFIX + application!r}."
        )
    model = _construct(application, *image_shape[:2], init_weights)
    constants = {"momentum": batch_norm.momentum, "epsilon": batch_norm.epsilon}
    given = [f"--batch_norm_{name}={v}" for name, v in constants.items() if v is not None]
    given += ["--sync_batch_norm"] if batch_norm.synchronized else []
    if given and not _has_batch_norm(model):
        raise ValueError(
            f"{given[0]} must be left out: --model={PREFIX}{application} has no batch "
            "normalisation."
        )
    images = keras.Input(image_shape, dtype="float32", name="images")
    features = _customize(model, batch_norm)(preprocess(images, preprocessing_mode(application)))
    return keras.Model(images, features, name=model.name)
