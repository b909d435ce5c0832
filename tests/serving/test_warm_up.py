import numpy as np
import tensorflow as tf

from drw_tf.serving import warm_up

# SerializeToString of tensorflow_serving.apis.prediction_log_pb2.PredictionLog with these
# contents; tensorflow-serving-api 2.15.1, protobuf 4.25.9.
OF_PIXELS = (
    "32390a370a111a0f73657276696e675f64656661756c7412220a06696d61676573121808041210120208011202"
    "0801120208021202080122020709"
)
OF_BYTES = (
    "32310a2f0a0f1a0d73657276696e675f6279746573121c0a0b696d6167655f6279746573120d08071204120208"
    "014203616263"
)


def test_requests_are_byte_for_byte_those_of_the_official_classes():
    pixels = np.array([[[[7], [9]]]], np.uint8)
    assert warm_up.prediction_log("serving_default", "images", pixels).hex() == OF_PIXELS
    text = np.array([b"abc"], object)
    assert warm_up.prediction_log("serving_bytes", "image_bytes", text).hex() == OF_BYTES


def test_lengths_above_127_take_two_bytes():
    # 300 = 0b10_0101100: the lower seven bits with the mark "more follows", then 2.
    log = warm_up.prediction_log("s", "i", np.array([b"x" * 300], object))
    assert bytes([0x42, 0b1010_1100, 2]) + b"x" * 300 in log


def test_the_file_has_one_request_a_signature(tmp_path):
    warm_up.write(tmp_path, (8, 8, 3))
    path = tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    requests = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert [
        name in request
        for name, request in zip((b"serving_default", b"serving_bytes"), requests, strict=True)
    ] == [True, True]
