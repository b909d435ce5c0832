"""Requests that TensorFlow Serving answers to itself before it takes any.

The first request to a graph takes seconds longer than later ones. The file is a TFRecord of
`tensorflow.serving.PredictionLog`, whose Python classes come with a package of 100 MB; only
four nested fields of it are needed, so they are put down here.
"""

import pathlib

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"


def write(folder: pathlib.Path, image_shape: tuple[int, int, int]) -> None:
    """Writes one request a signature into `assets.extra` of a SavedModel.

    Args:
        folder: the SavedModel.
        image_shape: (H, W, Ch) of the pictures that it takes.
    """
    image = np.zeros(image_shape, np.uint8)
    # One pixel, which no limit of what is decoded refuses.
    encoded = tf.io.encode_png(image[:1, :1]).numpy()
    requests = {
        "serving_default": ("images", image[None]),
        "serving_bytes": ("image_bytes", np.array([encoded], object)),
    }
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / FILE)) as records:
        for signature, (name, value) in requests.items():
            records.write(prediction_log(signature, name, value))


def prediction_log(signature: str, input_name: str, value: np.ndarray) -> bytes:
    """A serialized PredictionLog of one request.

    Args:
        signature: name of the signature.
        input_name: name of its input.
        value: what is fed to it.

    Source:
        tensorflow_serving/apis/prediction_log.proto, predict.proto and model.proto.
    """
    tensor = tf.make_tensor_proto(value).SerializeToString()
    model_spec = _field(3, signature.encode())  # ModelSpec.signature_name
    entry = _field(1, input_name.encode()) + _field(2, tensor)
    request = _field(1, model_spec) + _field(2, entry)  # PredictRequest.model_spec, inputs
    return _field(6, _field(1, request))  # PredictionLog.predict_log, PredictLog.request


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
