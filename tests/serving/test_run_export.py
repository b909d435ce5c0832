import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.ops import summary
from drw_tf.serving import predictor, run_export
from tests import small_export


@pytest.fixture
def _no_decoder(monkeypatch):
    small_export.stand_in(monkeypatch)


def random_images(shape, rows=5):
    return np.random.default_rng(7).integers(0, 256, (rows, *shape), np.uint8)


class FakeMethod:
    """What `export_method` asks of a method."""

    def __init__(self, network, adjust=None):
        self.ema_network = network
        self.evaluated_head = "balanced"
        self.adjusts = adjust is not None
        self._adjust = adjust
        self.facts = SimpleNamespace(num_classes=2)

    def adjust(self, logits, network):
        assert network is self.ema_network
        return self._adjust(logits)


class FakeDataset:
    image_shape = (8, 8, 1)
    class_names = ("a", "b")
    num_classes = 2
    central_fraction = None


CONFIGURATION = {"la_prior": "labeled", "la_strength": 2.0}


@pytest.mark.usefixtures("_no_decoder")
def test_a_methods_adjustment_and_head_are_exported(network_of, tmp_path):
    network = network_of((8, 8, 1), 2, head="balanced")
    prior = np.log([0.9, 0.1])
    method = FakeMethod(network, lambda logits: logits - 2 * prior)
    run_export.export_method(
        method, tmp_path / "e", dataset=FakeDataset, configuration=CONFIGURATION, adjusted=True
    )
    answer = tf.saved_model.load(str(tmp_path / "e")).signatures["serving_default"]
    images = random_images((8, 8, 1))
    expected = network(images / np.float32(255))["balanced"] - 2 * prior
    np.testing.assert_allclose(answer(images=tf.constant(images))["logits"], expected, atol=1e-5)
    serving = json.loads((tmp_path / "e" / "assets" / "serving.json").read_text())
    assert serving["logit_adjustment"]["la_strength"] == 2.0
    np.testing.assert_allclose(serving["logit_adjustment"]["subtracted"], 2 * prior, rtol=1e-6)


@pytest.mark.parametrize(
    ("adjust", "message"),
    [(None, "this one does not"), (lambda logits: 2 * logits, "the same vector from all")],
)
def test_adjustments_that_cannot_be_exported_are_refused(adjust, message):
    with pytest.raises(ValueError, match=message):
        run_export.adjustment_of(FakeMethod(None, adjust), None)


@pytest.mark.usefixtures("_no_decoder")
@pytest.mark.parametrize(
    ("megapixels", "limit"),
    [
        (120.0, 120.0),
        pytest.param(None, 50.0, marks=pytest.mark.slow),
        pytest.param(900.0, 500.0, marks=pytest.mark.slow),
    ],
)
def test_pictures_are_prepared_as_the_run_saw_them(network_of, tmp_path, megapixels, limit):
    class Own(FakeDataset):
        central_fraction = 0.875

    run_export.export_method(
        FakeMethod(network_of((8, 8, 1), 2, head="balanced")),
        tmp_path / "e",
        dataset=Own,
        configuration={**CONFIGURATION, "max_megapixels": megapixels},
    )
    serving = json.loads((tmp_path / "e" / "assets" / "serving.json").read_text())
    assert serving["central_fraction"] == 0.875
    assert serving["max_megapixels"] == limit


# Temperatures


ROWS = np.array([[2.0, 0.0]] * 4)


@pytest.fixture
def make_run(network_of):
    """make_run(**flags): a run whose network says [2, 0] of four held-out pictures, 3 rightly."""

    def make(adjust=None, validation=4, **flags):
        given = {"export_temperature": "fit", "export_logit_adjustment": False, "export": True}
        train = records.ArrayImages(np.zeros([6, 8, 8, 1], np.uint8), np.array([1, 1, 0, 0, 0, 1]))
        dataset = SimpleNamespace(
            image_shape=(8, 8, 1),
            class_names=("a", "b"),
            num_classes=2,
            train=train,
            central_fraction=None,
        )
        asked = []

        def evaluator(images, alone):
            # Asked by one worker of several, who must not wait for the others.
            assert alone
            asked.append(images)
            rows = ROWS[: len(images)].astype(np.float32)
            return SimpleNamespace(
                logits=lambda network, head: rows,
                metrics=lambda logits: summary.summarize(images.labels, logits, [8, 4]),
            )

        return SimpleNamespace(
            config=configuration.Config({**given, "method": "drw_la", **flags}),
            method=FakeMethod(network_of((8, 8, 1), 2, head="balanced"), adjust),
            dataset=dataset,
            split=SimpleNamespace(validation=np.arange(2, 2 + validation)),
            evaluator=evaluator,
            asked=asked,
        )

    return make


def exported(run, folder):
    temperature = run_export.export_run(run, folder, None)
    return temperature, predictor.Predictor(folder)


@pytest.mark.usefixtures("_no_decoder")
def test_a_fitted_temperature_is_that_of_the_validation_pictures(make_run, tmp_path):
    run = make_run()
    temperature, model = exported(run, tmp_path / "e")
    (images,) = run.asked
    np.testing.assert_array_equal(images.labels, [0, 0, 0, 1])
    # softmax([2 / T, 0]) = [3/4, 1/4]: T = 2 / log 3.
    assert temperature.value == pytest.approx(2 / math.log(3))
    assert model.temperature == temperature.value
    pictures = random_images((8, 8, 1))
    bare = run.method.ema_network(pictures / np.float32(255))["balanced"].numpy()
    found = model.predict(pictures)
    np.testing.assert_allclose(found.logits, bare * math.log(3) / 2, atol=1e-5)
    np.testing.assert_array_equal(found.label, bare.argmax(axis=1))
    # The metadata say what the fit was made on and changed.
    text = (tmp_path / "e" / "assets" / "serving.json").read_text()
    found = json.loads(text)["temperature"]
    assert (found["source"], found["validation_pictures"]) == ("fitted", 4)
    # Confidence of [2, 0] is 1 / (1 + e^-2); after the fit it is the share of right ones.
    sure = 1 / (1 + math.exp(-2))
    assert found["before"]["ece"] == pytest.approx(sure - 0.75)
    assert found["after"]["ece"] == pytest.approx(0, abs=1e-6)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["after"]["loss"] == pytest.approx(entropy)


def test_the_fit_is_made_on_adjusted_logits_where_those_are_served(make_run):
    run = make_run(lambda logits: logits - [1.0, 0.0], export_logit_adjustment=True)
    fitted = run_export._temperature(run, True, run.method.ema_network)
    assert fitted.value == pytest.approx(1 / math.log(3))  # of [1, 0]
    left_out = make_run(lambda logits: logits - [1.0, 0.0])
    assert run_export._temperature(left_out, False, None).value == pytest.approx(2 / math.log(3))


@pytest.mark.parametrize(("asked", "value"), [("none", 1.0), ("1.5", 1.5)])
def test_without_a_fit_no_picture_is_looked_at(make_run, asked, value):
    run = make_run(validation=0, export_temperature=asked)
    assert run_export._temperature(run, False, None).value == value
    assert run.asked == []


def test_a_fit_that_ends_at_its_range_is_told_and_not_used(make_run, caplog):
    run = make_run(validation=3)  # all right
    assert run_export._temperature(run, False, None) == run_export.Temperature()
    assert "3 validation pictures cannot tell the temperature" in caplog.text
    assert "range: 0.05; the logits are left as they are" in caplog.text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"validation": 0}, "--export_temperature=fit needs pictures that were held out"),
        ({"export_logit_adjustment": True}, "needs a method that adjusts logits at test time"),
    ],
)
def test_what_the_run_has_not_is_refused(make_run, flags, message):
    with pytest.raises(configuration.ConfigError, match=message):
        run_export.refuse(make_run(**flags))
