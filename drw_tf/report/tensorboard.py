"""A run's TensorBoard log: curves, curves of each class, pictures, settings, HParams.

Tags: `train/*`, `test_ema/*`, `test_raw/*` and the same of `validation` are scalars;
`pseudo_number/<class>`, `unlabeled_weight/<class>`, `labeled_weight/<class>`,
`unlabeled_loss/<class>`, `pseudo_precision/<class>`, `pseudo_recall/<class>`, the same of
confident pseudo-labels, `recall/<class>` and `precision/<class>` (of the averaged network) one
scalar a class.
Each of them costs some 60 bytes an evaluation and a row in the browser's list: bearable up
to `MAX_CLASS_SCALARS` classes. Above that, a histogram over the classes is written under the
bare name (`recall`), and three scalars, `recall/smallest`, `/median` and `/largest`.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.backends import backend_agg
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar_summary
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2, summary_v2
from tensorboard.plugins.hparams import summary as hparams_summary
from tensorboard.plugins.scalar import metadata as scalar_metadata

from drw_tf import whole_files
from drw_tf.report import evaluation_figures, event_files, record_file

MAX_CLASS_SCALARS = 200
# How the tags begin of what a run logs at its end; one that goes on logs it again.
FINAL_TAGS = ("final/", "_hparams_/")
_CONFUSION_TAG = "confusion/ema"

_CLASS_TAGS = {
    "pseudo_numbers": "pseudo_number",
    "unlabeled_weights": "unlabeled_weight",
    "labeled_weights": "labeled_weight",
    "unlabeled_loss_by_class": "unlabeled_loss",
}
_TRAIN_KEYS = ("epoch", "seconds", "images_per_second", "learning_rate")
_SHEET_SIDE = 8
_SHEET_PIXELS = 48


class TensorBoardLog:
    """Writes event files of one run into a folder; each call of `log_*` is on disk at its end.

    Where the disk is full it raises an OSError, when it is made too.

    On resume, call `event_files.truncate` before making one, and log an evaluation before
    the checkpoint of its step is written: then a kill or a power cut between the two loses
    nothing.

    Args:
        logdir: folder of the run's event files; made if it is missing.
        class_names: C names. A "/" in one is shown as "_", since "/" groups tags; names that
            occur twice get their class number.
    """

    def __init__(self, logdir: str | os.PathLike, class_names: Sequence[str]):
        self._class_tags = _class_tags(class_names)
        self._class_names = tuple(class_names)
        self._confusion = None
        self._logdir = os.fspath(logdir)
        earlier = event_files.find(self._logdir)
        with event_files.writing(self._logdir):
            self._writer = tf.summary.create_file_writer(self._logdir)
        (self._file,) = set(event_files.find(self._logdir)).difference(earlier)
        self._write(custom_scalar_summary.pb(_layout()), step=0)
        self._flush(self._logdir)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def log_evaluation(self, entry: Mapping) -> None:
        """Writes the curves' next point; None is left out, NaN is shown as TensorBoard does.

        Args:
            entry: one dictionary of a run's history. Unknown numbers in it become scalars
                of their own name, unknown lists of C numbers one scalar a class.

        Raises:
            ValueError: a list in it does not have C numbers.
        """
        step = entry["step"]
        scalars = {}
        for key, value in entry.items():
            if key in _TRAIN_KEYS:
                scalars[f"train/{key}"] = value
            elif key not in ("step", "stage", "train", "test", "validation"):
                self._add(scalars, _CLASS_TAGS.get(key, key), value, step)
        for key, value in entry["train"].items():
            self._add(scalars, f"train/{key}", value, step)
        for network, metrics in entry.get("validation", {}).items():
            scalars.update(_numbers(metrics, f"validation_{network}/"))
        for network, metrics in (entry.get("test") or {}).items():
            scalars.update(_numbers(metrics, f"test_{network}/"))
            if network == "ema":
                for key in ("recall", "precision"):
                    self._add(scalars, key, metrics.get(key), step)
        self._write_scalars(scalars, step)

    def log_text(self, configuration: Mapping) -> None:
        """Writes settings as a table at step 0.

        Args:
            configuration: names and values, in the order in which they are to be shown.
        """
        rows = [
            f"| {name} | `{json.dumps(record_file.plain(value, name))}` |".replace("\n", " ")
            for name, value in configuration.items()
        ]
        table = "\n".join(["| flag | value |", "| --- | --- |", *rows])
        with self._writing():
            tf.summary.text("configuration", table, step=0)

    def log_images(self, tag: str, images: np.ndarray, step: int) -> None:
        """Writes up to 64 pictures as one sheet, small ones enlarged.

        Args:
            tag: what it is called, as in `first_batch/strong`.
            images: uint8 [N, H, W, Ch], Ch 1 or 3, N at least 1.
            step: training step.

        Raises:
            ValueError: the pictures are not of this kind.
        """
        with self._writing():
            tf.summary.image(tag, _sheet(np.asarray(images))[None], step=step)

    def log_confusion(self, counts: np.ndarray, step: int) -> None:
        """Writes a confusion matrix as a picture, with the classes' names.

        Args:
            counts: [C, C], test images by true class (row) and predicted class (column).
            step: training step.
        """
        if self._confusion is None:
            figure = evaluation_figures.draw_confusions(
                [counts], [_CONFUSION_TAG], self._class_names
            )
            self._confusion = backend_agg.FigureCanvasAgg(figure)
        else:
            evaluation_figures.redraw_confusion(self._confusion.figure, counts)
        self._confusion.draw()
        pixels = np.asarray(self._confusion.buffer_rgba())[..., :3]
        with self._writing():
            tf.summary.image(_CONFUSION_TAG, pixels[None], step=step)

    def log_hparams(self, flags: Mapping, metrics: Mapping[str, float], step: int) -> None:
        """Writes the row of this run in the HParams tab, once, at the end of the run.

        Args:
            flags: names and values. None is left out; lists are shown as JSON.
            metrics: names and numbers of the columns to compare; also written as the
                scalars `final/<name>`.
            step: training step that the metrics belong to.
        """
        shown = {key: _hparam(value) for key, value in flags.items() if value is not None}
        config = summary_v2.hparams_config_pb(
            hparams=[hparams_api.HParam(key) for key in shown],
            metrics=[
                hparams_api.Metric(f"final/{key}", display_name=key.replace("_", " "))
                for key in metrics
            ],
        )
        end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
        for summary in (config, summary_v2.hparams_pb(shown), end):
            self._write(summary, step=0)
        self._write_scalars(_numbers(metrics, "final/"), step)

    def close(self) -> None:
        """Ends the log; nothing can be logged after that."""
        with event_files.writing(self._logdir):
            self._writer.close()

    @contextlib.contextmanager
    def _writing(self):
        """Context of what is logged; at its end it is on the disk."""
        before = event_files.size(self._logdir)
        # The end of the inner one is a flush.
        with event_files.writing(self._logdir), self._writer.as_default():
            yield
        # Of an event larger than its buffer the writer loses the error, and all that follows.
        if event_files.size(self._logdir) <= before:
            raise event_files.refusal(self._logdir, "the file does not grow, the disk may be full")
        self._flush(self._file)

    def _flush(self, path: str | os.PathLike) -> None:
        """Returns when the file, or the folder, withstands a power cut as a checkpoint does."""
        try:
            whole_files.flush(path)
        except OSError as error:
            raise event_files.refusal(self._logdir, error.strerror) from None

    def _add(self, scalars: dict, tag: str, value, step: int) -> None:
        """Puts a number, or a number for each class, among the scalars to be written."""
        if value is None:
            return
        if np.ndim(value) == 0:
            scalars[tag] = value
            return
        values = np.asarray(value, np.float64)
        if values.shape != (len(self._class_tags),):
            raise ValueError(
                f"{tag} must be a number or {len(self._class_tags)} numbers, one for each "
                f"class, got shape {list(values.shape)}."
            )
        if len(values) <= MAX_CLASS_SCALARS:
            listed = zip(self._class_tags, values, np.asarray(value, object), strict=True)
            scalars.update({f"{tag}/{name}": x for name, x, given in listed if given is not None})
            return
        defined = values[np.isfinite(values)]
        if len(defined):
            with self._writing():
                tf.summary.histogram(tag, defined, step=step)
            scalars[f"{tag}/smallest"] = defined.min()
            scalars[f"{tag}/median"] = np.median(defined)
            scalars[f"{tag}/largest"] = defined.max()

    def _write_scalars(self, scalars: Mapping, step: int) -> None:
        """Writes many scalars as one event: five times faster than one event each."""
        summary = tf.compat.v1.Summary()
        kind = tf.compat.v1.SummaryMetadata.FromString(
            scalar_metadata.create_summary_metadata(None, None).SerializeToString()
        )
        for tag, value in scalars.items():
            if value is not None:
                tensor = tf.make_tensor_proto(float(value), dtype=tf.float32)
                summary.value.add(tag=tag, metadata=kind, tensor=tensor)
        self._write(summary, step)

    def _write(self, summary, step: int) -> None:
        """Writes one Summary message and brings it to the disk."""
        with self._writing():
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)


def _class_tags(class_names: Sequence[str]) -> tuple[str, ...]:
    """C different names without "/"."""
    names = [str(name).replace("/", "_") for name in class_names]
    return tuple(
        f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names)
    )


def _numbers(values: Mapping, prefix: str) -> dict[str, float]:
    """The entries that are single numbers, with their tags."""
    return {
        f"{prefix}{key}": value
        for key, value in values.items()
        if isinstance(value, int | float | np.number)
    }


def _hparam(value) -> bool | int | float | str:
    """A value as the HParams tab can show it."""
    value = record_file.plain(value)
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _layout() -> layout_pb2.Layout:
    """Charts of the Custom Scalars tab: all classes in one chart each."""

    def chart(title, *tags):
        content = layout_pb2.MultilineChartContent(tag=tags)
        return layout_pb2.Chart(title=title, multiline=content)

    classes = [
        chart("pseudo number of each class", r"pseudo_number/.*"),
        chart("weight of each class, unlabeled", r"unlabeled_weight/.*"),
        chart("recall of each class", r"recall/.*"),
        chart("unlabeled loss of each class", r"unlabeled_loss/.*"),
        chart("precision of the pseudo-labels of each class", r"pseudo_precision/.*"),
        chart("recall of the pseudo-labels of each class", r"pseudo_recall/.*"),
    ]
    run = [
        chart("balanced accuracy", r"test_(ema|raw)/balanced_accuracy$"),
        chart("training losses", r"train/loss.*"),
        chart("test loss", r"test_(ema|raw)/loss$"),
        chart("pseudo imbalance ratio", r"pseudo_imbalance_ratio$"),
    ]
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(title="classes", chart=classes),
            layout_pb2.Category(title="run", chart=run),
        ]
    )


def _sheet(images: np.ndarray) -> np.ndarray:
    """uint8 [H', W', Ch], pictures in rows, one white pixel between them."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images must be uint8 [N, H, W, 1 or 3], got {images.dtype} {list(images.shape)}."
        )
    if not len(images):
        raise ValueError("images must be at least one, got none.")
    images = images[: _SHEET_SIDE**2]
    enlarged = max(1, math.ceil(_SHEET_PIXELS / images.shape[1]))
    images = images.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    images = np.pad(images, [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=255)
    columns = min(_SHEET_SIDE, len(images))
    rows = math.ceil(len(images) / columns)
    blank = np.full((rows * columns - len(images), *images.shape[1:]), 255, np.uint8)
    grid = np.concatenate([images, blank]).reshape(rows, columns, *images.shape[1:])
    return np.concatenate(np.concatenate(grid, axis=1), axis=1)
