"""From a run to its export: which adjustment and temperature, and the model card."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from tensorflow import keras

from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.data import naming
from drw_tf.ops import calibration
from drw_tf.serving import decoding, model_card, saved_model, verification

# Flags that say what an adjustment was made of.
_ADJUSTMENT_FLAGS = ("method", "la_prior", "la_strength", "cdmad_color")


@dataclasses.dataclass(frozen=True)
class Temperature:
    """What exported logits are divided by.

    Attributes:
        value: > 0; 1 changes nothing.
        source: "none", "given" or "fitted".
        facts: of a fit, what it was made on and what it changed there, for the metadata.
    """

    value: float = 1.0
    source: str = "none"
    facts: Mapping = dataclasses.field(default_factory=dict)


def refuse(run) -> None:
    """Nothing; what a run can never export is refused, before it is trained.

    Args:
        run: a `drw_tf.run.Run`.

    Raises:
        ConfigError: an adjustment is asked for that the method has not, or a fit without
            validation pictures.
        ValueError: a class name cannot be a line of a file.
    """
    config = run.config
    verification.refuse_names(run.dataset.class_names)
    if config.export_logit_adjustment and not run.method.adjusts:
        raise configuration.ConfigError(
            "--export_logit_adjustment needs a method that adjusts logits at test time, "
            f"the run's is {config.method}."
        )
    if config.export_temperature == "fit" and not len(run.split.validation):
        raise configuration.ConfigError(
            "--export_temperature=fit needs pictures that were held out, there are none: train "
            "with --validation_per_class or pictures for validation, or give a number."
        )


def export_run(
    run, folder: str | os.PathLike, record: Mapping, network: keras.Model | None = None
) -> Temperature:
    """The temperature of the export that was written, as the run's flags ask.

    Args:
        run: a `drw_tf.run.Run` that `refuse` lets pass, its averaged network as it is to be
            exported.
        folder: where.
        record: of the run, for the model card.
        network: in place of the averaged one, of equal weights.

    Raises:
        folders.ExportError: see `saved_model.export_saved_model`.
    """
    adjusted = run.config.export_logit_adjustment
    network = network or run.method.ema_network
    temperature = _temperature(run, adjusted, network)
    export_method(
        run.method,
        folder,
        dataset=run.dataset,
        configuration=run.config,
        adjusted=adjusted,
        temperature=temperature,
        record=record,
        network=network,
    )
    return temperature


def export_method(
    method,
    folder: str | os.PathLike,
    *,
    dataset: records.Dataset,
    configuration: Mapping,
    adjusted: bool = False,
    temperature: Temperature | None = None,
    record: Mapping | None = None,
    network: keras.Model | None = None,
) -> pathlib.Path:
    """The folder with the averaged network of a method.

    Args:
        method: a `drw_tf.methods.base.Method`.
        folder: where.
        dataset: the data set that it was trained on; says how pictures are prepared.
        configuration: flags of the run.
        adjusted: bake the method's test-time logit adjustment into the exported logits.
        temperature: divisor of the logits, after the adjustment.
        record: of the run; None leaves the model card out.
        network: in place of the method's averaged one, of equal weights.

    Raises:
        ValueError: `adjusted`, and the method has no adjustment, or one that is not the
            same for all pictures.
        folders.ExportError: see `saved_model.export_saved_model`.
    """
    temperature = temperature or Temperature()
    network = network or method.ema_network
    limit = configuration.get("max_megapixels") or decoding.Preparation.max_megapixels
    card = None
    if record is not None:
        facts = model_card.Served(
            dataset.image_shape,
            method.adjusts,
            adjusted,
            dataclasses.asdict(temperature),
            dataset.central_fraction,
        )
        card = model_card.text(record, facts)
    return saved_model.export_saved_model(
        network,
        folder,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        configuration=configuration,
        head=method.evaluated_head,
        logit_adjustment=adjustment_of(method, network) if adjusted else None,
        adjustment_metadata={
            name: configuration[name]
            for name in _ADJUSTMENT_FLAGS
            if configuration.get(name) is not None
        },
        temperature=temperature.value,
        temperature_metadata={"source": temperature.source, **temperature.facts},
        card=card,
        central_fraction=dataset.central_fraction,
        # A picture that could be trained on can be asked about.
        max_megapixels=min(limit, decoding.MAX_MEGAPIXELS),
    )


def adjustment_of(method, network: keras.Model) -> np.ndarray:
    """float64 [C], what the method's `adjust` subtracts from a network's logits.

    Raises:
        ValueError: it adjusts nothing, or not by the same vector everywhere.
    """
    if not method.adjusts:
        raise ValueError("the method must adjust logits at test time, this one does not.")
    num_classes = method.facts.num_classes
    zeros = np.zeros([1, num_classes])
    subtracted = -np.asarray(method.adjust(zeros, network), np.float64)[0]
    probe = np.arange(2.0 * num_classes).reshape(2, num_classes)
    adjusted = method.adjust(probe, network)
    if not np.allclose(adjusted, probe - subtracted, atol=1e-6):
        raise ValueError("the adjustment must subtract the same vector from all logits.")
    return subtracted


def _temperature(run, adjusted: bool, network: keras.Model) -> Temperature:
    """What `--export_temperature` asks for; a fit is on the logits that would be served."""
    asked = run.config.export_temperature
    if asked == "none":
        return Temperature()
    if asked != "fit":
        return Temperature(float(asked), "given")
    held_out = records.take(run.dataset.train, run.split.validation)
    # Alone: where there are several workers, this one exports and the others have gone on.
    judge = run.evaluator(held_out, alone=True)
    logits = judge.logits(network, run.method.evaluated_head).astype(np.float64)
    if adjusted:
        logits = logits - adjustment_of(run.method, network)
    value = calibration.fit_temperature(logits, held_out.labels)
    if value in (calibration.MIN_TEMPERATURE, calibration.MAX_TEMPERATURE):
        # All of them right, say: the surer, the better, which no other picture agrees with.
        logging.getLogger("drw_tf").warning(
            "%s cannot tell the temperature, the best is at the end of its range: %g; the logits "
            "are left as they are",
            naming.counted(len(held_out), "validation picture"),
            value,
        )
        return Temperature()
    facts = {
        "validation_pictures": len(held_out),
        "before": _calibration(judge.metrics(logits)),
        "after": _calibration(judge.metrics(logits / value)),
    }
    return Temperature(value, "fitted", facts)


def _calibration(found: Mapping) -> dict[str, float]:
    """What a temperature changes, of the metrics of an evaluation."""
    return {name: found[name] for name in ("loss", "ece")}
