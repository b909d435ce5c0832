"""`python -m drw_tf.data_report --dataset=...`: what a split looks like, before any training.

Takes the trainer's flags. Prints a summary and writes data_report.md, counts.png (pictures of
each class) and samples.png (some of each class, with weak and strong views) into --out.
"""

import dataclasses
import itertools
import logging
import os
import pathlib
import sys

from drw_tf import config as configuration
from drw_tf import contradictions, ending, flag_table, help_text, output_folder, quiet

_OUTPUT = "output"
_DECODE_ALL = f"{flag_table.BY_NAME['decode_all'].help} [true for own pictures]"
_TABLE = (
    flag_table.Flag("out", "string", "folder for the report", _OUTPUT, default="data_report"),
    flag_table.Flag(
        "find_copies",
        "bool",
        "look for pictures that are equal byte for byte; reads files of the same length",
        _OUTPUT,
        default=True,
    ),
    *(flag for flag in flag_table.FLAGS if flag.name != "decode_all"),
    dataclasses.replace(flag_table.BY_NAME["decode_all"], default=None, help=_DECODE_ALL),
)
# Flags that name places where a report would become part of the user's data.
_PLACES = ("labeled_dir", "unlabeled_dir", "validation_dir", "test_dir", "data_dir")
_PAGE = "data_report.md"
# Of `split_report.text`.
_FIRST_LINE = r"# .+: \d+ classes, \d+ x \d+ x \d+"
_PICTURES = ("counts.png", "counts.svg", "samples.png", "samples.svg")
_CLASSES = 12
_SAMPLES = 5
# Largest value of 12 bits in 16, plus 1, in the upper 8 of them.
_DARK = 16
# Title, view, and how many of it are shown of the first picture of each class.
_VIEWS = (
    ("weak views of the first", "weak", 2),
    ("strong views of the first", "strong", 4),
)


@ending.interruptible("data_report")
def main(argv: list[str] | None = None) -> None:
    """Prints and writes the report; exits with 2 after bad input, 130 after Ctrl-C."""
    argv = sys.argv if argv is None else argv
    if help_text.ASKS_FOR_HELP & set(argv[1:]):
        configuration.show(help_text.of_program("drw_tf.data_report", _TABLE, argv[1:]))
    try:
        given = configuration.parse(argv, _TABLE)
        out = given.pop("out", "data_report")
        find_copies = given.pop("find_copies", True)
        config = configuration.resolve(given)
        out = output_folder.check(out, _PAGE, _FIRST_LINE, _PICTURES)
        for line in contradictions.among_pictures("out", out, config, _PLACES):
            raise configuration.ConfigError(line)
        # What a decoder prints about a broken picture is told in a line of the report.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet.startup():
            import tensorflow  # noqa: F401
        from drw_tf.report import figures, groups, split_figures

        decode_all = given.get("decode_all", groups.is_of_own_pictures(config))
        notes, unreadable, dataset, split = _load(config, decode_all)
        found = _facts(config, dataset, split, unreadable, find_copies)
        out.mkdir(parents=True, exist_ok=True)
        samples = _samples(config, dataset, split, found, notes)
        _write(out, config, found, notes)
        figures.save(split_figures.counts(found), out / "counts")
        figures.save(samples, out / "samples")
        print(f"written: {out / _PAGE}, {out / 'counts.png'}, {out / 'samples.png'}")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        configuration.refuse("data_report", error)


def _load(config: configuration.Config, decode_all: bool):
    """Notes of the loader, unreadable files, the data set and its split."""
    from drw_tf.data import registry

    # What the trainer refuses or decodes at once is only looked at here.
    changed = {"on_bad_image": "skip", "in_memory_gigabytes": 0.0, "decode_all": decode_all}
    looked_at = {name: value for name, value in changed.items() if config[name] is not None}
    unreadable: list[tuple[str, str]] = []
    with _Notes() as notes:
        dataset, split = registry.load(
            configuration.Config({**config, **looked_at}),
            lambda bad: unreadable.append((bad.path, bad.reason)),
        )
    return notes, tuple(unreadable), dataset, split


class _Notes(logging.Handler):
    """Context: the list of what is logged meanwhile, which goes nowhere else."""

    def __enter__(self):
        self._messages: list[str] = []
        self._logger = logging.getLogger("drw_tf")
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self._messages

    def __exit__(self, kind, error, trace):
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated

    def emit(self, record):
        self._messages.append(record.getMessage())


def _facts(config, dataset, split, unreadable, find_copies: bool):
    from drw_tf.report import split_report

    include_labeled = None if config.pool is None else config.pool == "all"
    found = split_report.facts(dataset, split, include_labeled=include_labeled)
    groups = _copies(dataset, split) if find_copies else None
    return dataclasses.replace(found, unreadable=unreadable, copies=groups)


def _copies(dataset, split):
    """Groups of equal pictures among the rows of the split and the test set."""
    import numpy as np

    from drw_tf.data import dataset as records
    from drw_tf.data import image_scan
    from drw_tf.report import split_report

    sizes = {
        split_report.LABELED: split.labeled,
        split_report.UNLABELED: split.unlabeled,
        split_report.VALIDATION: split.validation,
    }
    rows = np.concatenate(list(sizes.values()))
    parts = [part for part, those in sizes.items() for _ in those]
    tests = [dataset.test] if dataset.test else []
    if isinstance(dataset.train, records.FileImages):
        images = [records.take(dataset.train, rows), *tests]
        groups = image_scan.duplicates([path for one in images for path in one.paths])
    else:
        # One at a time: a mapped file may be larger than memory.
        pixels = (dataset.train.pixels[row] for row in rows)
        groups = split_report.equal_pixels(itertools.chain(pixels, *(one.pixels for one in tests)))
    return split_report.copies(dataset, rows, parts, groups)


def _samples(config, dataset, split, found, notes: list[str]):
    """The contact sheet: classes from head to tail, and pictures of unknown classes.

    What cannot be decoded is left out and noted.
    """
    import numpy as np

    from drw_tf.data import dataset as records
    from drw_tf.report import split_figures

    order = found.order[found.counts["labeled"][found.order] > 0]
    ranks = np.linspace(0, len(order) - 1, min(_CLASSES, len(order))).round().astype(int)
    labels = dataset.train.labels
    shown = {
        dataset.class_names[row]: split.labeled[labels[split.labeled] == row]
        for row in order[ranks]
    }
    unknown = split.unlabeled[labels[split.unlabeled] == records.UNKNOWN_LABEL]
    if len(unknown):
        shown["(unlabeled)"] = unknown
    spread = {
        title: rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLES, len(rows))).astype(int))]
        for title, rows in shown.items()
    }
    shown = {title: _decodable(dataset, rows, notes) for title, rows in spread.items()}
    shown = {title: rows for title, rows in shown.items() if len(rows)}
    if not shown:
        raise ValueError(f"no sample can be decoded; {notes[-1]}.")
    chosen = list(shown.values())
    every = np.concatenate(chosen)
    pictures = _plain(dataset, every)
    _note_dark(dataset, every, pictures, notes)
    plain = np.split(pictures, np.cumsum([len(rows) for rows in chosen])[:-1])
    strong = config.recipe.has_strong_views
    shown_views = [view for view in _VIEWS if strong or view[1] != "strong"]
    views = _views(
        config,
        dataset,
        np.array([rows[0] for rows in chosen]),
        [name for _, name, _ in shown_views],
    )
    sheet = [
        split_figures.SheetRow(
            title, [plain[row], *(views[name][row][:number] for _, name, number in shown_views)]
        )
        for row, title in enumerate(shown)
    ]
    titles = ["labeled pictures", *(title for title, _, _ in shown_views)]
    return split_figures.contact_sheet(sheet, titles)


def _note_dark(dataset, rows, pictures, notes: list[str]) -> None:
    """A note of samples of picture files that are black or nearly so."""

    from drw_tf.data import dataset as records
    from drw_tf.data import naming

    dark = rows[pictures.max(axis=(1, 2, 3)) < _DARK]
    if len(dark) and isinstance(dataset.train, records.FileImages):
        notes.append(
            f"{naming.counted(len(dark), 'sample')} of {len(rows)} are black or nearly so, no "
            f"value above {_DARK - 1} of 255: {naming.some(list(dataset.train.paths[dark]))}; of "
            "16 bits a value the upper 8 are read, so stretch pictures that use the lower ones."
        )


def _decodable(dataset, rows, notes: list[str]):
    """The rows whose pictures are sound to the last byte; of the others a note is taken."""
    from drw_tf.data import dataset as records
    from drw_tf.data import image_scan, naming

    if not isinstance(dataset.train, records.FileImages):
        return rows
    paths = dataset.train.paths[rows]
    found = image_scan.faults(paths)
    notes.extend(
        f"a sample is damaged: {naming.shown(paths[place])}: {reason}"
        for place, reason in found.items()
    )
    return rows[[place not in found for place in range(len(rows))]]


def _plain(dataset, rows):
    """uint8 [N, H, W, Ch], pictures as the evaluation sees them."""
    import numpy as np

    from drw_tf.data import dataset as records
    from drw_tf.data import pipeline

    batches = pipeline.evaluation_batches(
        records.take(dataset.train, rows), 64, dataset.image_shape
    )
    return np.concatenate(list(batches.as_numpy_iterator()))


def _views(config, dataset, rows, names) -> dict:
    """View -> uint8 [N, 4, H, W, Ch], some of each row as training makes them."""
    import numpy as np

    from drw_tf.data import dataset as records
    from drw_tf.data import pipeline
    from drw_tf.training import assembly

    times = max(number for _, _, number in _VIEWS)
    again = np.repeat(np.arange(len(rows)), times)
    stream = pipeline.Stream("labeled", again, len(again), tuple(names))
    batches = pipeline.training_batches(
        records.take(dataset.train, rows), [stream], assembly.views(config, dataset), config.seed
    )
    batch = next(iter(batches))["labeled"]
    place = np.argsort(batch["index"].numpy())
    return {
        name: batch[name].numpy()[place].reshape(len(rows), times, *dataset.image_shape)
        for name in names
    }


def _write(out: pathlib.Path, config: configuration.Config, found, notes) -> None:
    from drw_tf.report import split_report

    settings = [
        f"--{flag.name}={config[flag.name]}"
        for flag in flag_table.FLAGS
        if flag.name in ("dataset", "seed") or flag.group == flag_table.DATA
        if config[flag.name] is not None
    ]
    whole = split_report.text(found, settings, notes, whole=True)
    pictures = "![pictures of each class](counts.png)\n\n![samples](samples.png)\n"
    (out / _PAGE).write_text(f"{whole}\n{pictures}", encoding="utf-8")
    print(split_report.text(found, settings, notes, whole=False))


if __name__ == "__main__":
    main()
