"""`python -m drw_tf.predict --model=EXPORT --images=FOLDER`: a table of predictions.

    path,label,confidence,probability_<class>,probability_<class>,...
    photos/1.jpg,cat,0.93,0.93,0.07

One row a picture, sorted by path; a probability for each class, `confidence` is that of
`label`. The table is written beside and renamed when it is complete.
"""

import csv
import json
import logging
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import ending, flag_table, help_text, quiet, whole_files
from drw_tf.serving import folders
from drw_tf.training import messages, workdir

COLUMNS = ("path", "label", "confidence")
PREFIX = "probability_"
_LOG = logging.getLogger("drw_tf")

_TABLE = (
    flag_table.Flag("model", "string", "folder of a model exported by drw_tf", "input"),
    flag_table.Flag("images", "string", "folder of pictures, at any depth, or one file", "input"),
    flag_table.Flag("out", "string", "table to write", "output", default="predictions.csv"),
    flag_table.Flag(
        "batch_size",
        "int",
        "pictures that the network sees at a time, >= 1",
        "speed",
        default=64,
        allowed=flag_table.BY_NAME["batch_size"].allowed,
        check=flag_table.BY_NAME["batch_size"].check,
    ),
    flag_table.BY_NAME["on_bad_image"],
    flag_table.Flag(
        "max_megapixels",
        "float",
        "files that claim more million pixels are unreadable, > 0 [the model's own]",
        "input",
        allowed=flag_table.BY_NAME["max_megapixels"].allowed,
        check=flag_table.BY_NAME["max_megapixels"].check,
    ),
)


@ending.interruptible("predict")
def main(argv: list[str] | None = None) -> None:
    """Writes the table; exits with 2 after bad input, 130 after Ctrl-C."""
    argv = sys.argv if argv is None else argv
    if help_text.ASKS_FOR_HELP & set(argv[1:]):
        words = [*argv[1:], "--helpfull"]
        usage = "--model=EXPORT --images=FOLDER"
        configuration.show(help_text.of_program("drw_tf.predict", _TABLE, words, usage))
    logging.basicConfig(format="%(message)s")
    try:
        flags = _complete(configuration.parse(argv, _TABLE))
        # What a decoder prints about a broken picture is told in a line of ours.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        serving = read_serving(flags["model"])
        paths = pictures(flags["images"], flags["on_bad_image"] == "skip")
        _refuse_out(pathlib.Path(flags["out"]))
        with quiet.startup():
            import tensorflow  # noqa: F401
        said = predict(flags, serving, paths)
    except (ValueError, OSError) as error:
        configuration.refuse("predict", error)
    with configuration.reader_may_leave():
        print(said)


def read_serving(model: str) -> dict:
    """What an export of ours says about the pictures it takes; reads one JSON file.

    Raises:
        ConfigError: the folder is not an export of this program.
    """
    path = pathlib.Path(model, folders.MARKER)
    if not path.is_file():
        inside = workdir.Layout(model).export
        hint = f"; {inside} is one" if (inside / folders.MARKER).is_file() else ""
        raise configuration.ConfigError(
            f"--model must be a folder that drw_tf exported, {model} has no {folders.MARKER}{hint}."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: found[name] for name in ("image_shape", "central_fraction", "max_megapixels")}
    except (ValueError, KeyError, TypeError):
        raise configuration.ConfigError(
            f"--model={model} is not of this program: {path} does not say what it should."
        ) from None


def preparation_of(serving: Mapping):
    """How the model's pictures are prepared, a `decoding.Preparation`.

    Args:
        serving: of `read_serving`.

    Raises:
        ValueError: a value is out of its range.
        TypeError: one is of another type.
    """
    from drw_tf.serving import decoding

    return decoding.Preparation(**{**serving, "image_shape": tuple(serving["image_shape"])})


def pictures(images: str, skip_misspelled: bool = False) -> list[str]:
    """Paths of the pictures, sorted; each begins with `images` as it was typed.

    Args:
        images: a folder or a file.
        skip_misspelled: see `image_folder.listed`.

    Raises:
        ValueError: there is no such folder or file, or no picture in it.
    """
    if os.path.isfile(images):
        return [images]
    if not os.path.isdir(images):
        raise configuration.ConfigError(f"--images must be a folder or a file, got {images}.")
    with quiet.startup():
        from drw_tf.data import image_folder

    names = image_folder.listed("--images", images, _LOG.warning, skip_misspelled).names
    return [os.path.join(images, name) for name in names]


def predict(flags: Mapping, serving: Mapping, paths: Sequence[str]) -> str:
    """What was written, in a line.

    Args:
        flags: every flag of this program.
        serving: of `read_serving`.
        paths: of `pictures`.

    Raises:
        ValueError: the model cannot be loaded, pictures are unreadable and
            `--on_bad_image` is "fail", or memory runs out; nothing is written then.
        OSError: the table cannot be written.
    """
    import tensorflow as tf

    from drw_tf.data import naming

    try:
        preparation = preparation_of(serving)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{flags['model']}/{folders.MARKER}: {error}") from None
    limit = flags["max_megapixels"] or preparation.max_megapixels
    usable = _usable(paths, limit, flags["on_bad_image"])
    written = 0
    out = pathlib.Path(flags["out"])
    try:
        model = _load(flags["model"], flags["batch_size"])
        begin = time.monotonic()
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--out={out} cannot be written: {error}.") from None
        with whole_files.replaced(out) as file:
            table = csv.writer(file, lineterminator="\n")
            # Python before 3.11.9 quotes a carriage return only where it quotes everything.
            quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            table.writerow([*COLUMNS, *(PREFIX + name for name in model.class_names)])
            for rows in table_rows(model, usable, preparation, flags):
                for row in rows:
                    (quoted if "\r" in row[0] else table).writerow(row)
                written += len(rows)
            if not written:
                raise ValueError(f"none of {len(paths)} pictures can be read.")
    except tf.errors.ResourceExhaustedError as error:
        raise ValueError(
            f"memory ran out at --batch_size={flags['batch_size']}, a smaller one needs less "
            f"({messages.one_line(error)})."
        ) from None
    rate = written / (time.monotonic() - begin)
    left_out = len(paths) - written
    rest = f", {left_out:,} unreadable left out" if left_out else ""
    pictures_written = naming.counted(written, "picture")
    return f"wrote {flags['out']}: {pictures_written}{rest}; {rate:.0f} pictures/s"


def table_rows(
    model, paths: Sequence[str], preparation, flags: Mapping
) -> Iterator[list[list[str]]]:
    """Rows of the table, a batch at a time, with a progress bar.

    Args:
        model: a `predictor.Predictor`.
        paths: of picture files whose headers look sound.
        preparation: of `preparation_of`.
        flags: "batch_size" and "on_bad_image" of this program.

    Raises:
        ValueError: a picture cannot be decoded and `--on_bad_image` is "fail".
    """
    import tqdm

    from drw_tf.data import naming
    from drw_tf.serving import picture_stream

    # disable=None: no bar where standard error is no terminal.
    with tqdm.tqdm(total=len(paths), unit="picture", desc="predicting", disable=None) as bar:
        for part in picture_stream.parts(paths, preparation, flags["batch_size"]):
            for row, reason in part.unreadable.items():
                named = f"{naming.shown(paths[row])}: {reason}"
                if flags["on_bad_image"] == "fail":
                    raise ValueError(
                        f"{named}; --on_bad_image=skip leaves out what cannot be read."
                    )
                _LOG.warning("left out %s", named)
            found = model.predict(part.pixels)
            yield [
                _row(paths[row], model.class_names[label], probabilities)
                for row, label, probabilities in zip(
                    part.rows, found.label, found.probabilities, strict=True
                )
            ]
            bar.update(len(part.rows) + len(part.unreadable))


def _complete(given: Mapping) -> dict:
    """Every flag: name -> value."""
    for name in ("model", "images"):
        if not given.get(name):
            raise configuration.ConfigError(f"--{name} must be given: {_help(name)}.")
    return {flag.name: given.get(flag.name, flag.default) for flag in _TABLE}


def _help(name: str) -> str:
    return next(flag.help for flag in _TABLE if flag.name == name)


def _refuse_out(out: pathlib.Path) -> None:
    """Refuses to replace anything but an earlier table."""
    if out.is_dir():
        raise configuration.ConfigError(f"--out must be a file, {out} is a folder.")
    if out.exists() and not out.is_file():  # a pipe would be waited for
        raise configuration.ConfigError(f"--out must be a file, {out} is a device or a pipe.")
    if out.exists():
        with out.open("rb") as file:
            begin = file.read(len(",".join(COLUMNS)))
        if begin != ",".join(COLUMNS).encode():
            raise configuration.ConfigError(
                f"--out must be new or an earlier table of predictions, {out} is something else."
            )


def _usable(paths: Sequence[str], limit: float, on_bad: str) -> list[str]:
    """The paths whose files look sound; refuses or names the others."""
    from drw_tf.data import image_scan, naming

    report = image_scan.scan(paths, max_megapixels=limit, on_bad=on_bad)
    for bad in report.bad:
        _LOG.warning("left out %s: %s", naming.shown(bad.path), bad.reason)
    if len(report.bad) == len(paths):
        raise ValueError(f"none of {len(paths)} pictures can be read.")
    return [path for path, keep in zip(paths, report.usable, strict=True) if keep]


def _load(model: str, batch: int):
    """The exported model, tried once on a black picture."""
    import numpy as np

    from drw_tf.serving import predictor

    try:
        loaded = predictor.Predictor(model, batch)
        loaded.predict(np.zeros([1, *loaded.image_shape], np.uint8))
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"--model={model} was not exported by drw_tf.") from None
    return loaded


def _row(path: str, label: str, probabilities) -> list[str]:
    shown = [f"{probability:.6g}" for probability in probabilities.tolist()]
    return [path, label, f"{probabilities.max():.6g}", *shown]


if __name__ == "__main__":
    main()
