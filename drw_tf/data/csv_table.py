"""`--dataset=csv`: a user's pictures listed in a table.

    path,label[,split]
    pictures/1.jpg,cat
    pictures/2.jpg,
    pictures/3.jpg,dog,test

The header is required; an empty label means unlabeled; `split` is train (also when empty),
validation or test. Paths are relative to the table's folder; a letter with a mark may be one
character in the table and two in the file's name, or the other way round, as between a Mac and
others; blanks around a path count only where a file is so called. UTF-8, with or without a
byte-order mark; quoting and line ends as the `csv` module reads them. Rows keep the table's
order; empty ones, as spreadsheets leave them, are passed over, and empty cells that end a row
may be left out.
"""

import csv
import os
import pathlib
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from absl import logging

from drw_tf.data import dataset as records
from drw_tf.data import naming, own_images

_REQUIRED = ("path", "label")
_SPLITS = ("train", "validation", "test")


class Row(NamedTuple):
    """One row of the table: absolute path, class name or "", one of `_SPLITS`, line number."""

    path: str
    label: str
    split: str
    line: int


def load(
    labels_csv: str,
    *,
    image_size: int,
    allow_outside: bool = False,
    allow_missing: bool = False,
    flip: bool = True,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """The data set of a table, with the split that it gives.

    Args:
        labels_csv: path of the table.
        image_size: side that pictures are brought to, pixels.
        allow_outside: whether a path may lead out of the table's folder, by links too.
        allow_missing: see `read`.
        flip: whether a mirrored picture is still of its class.
        note: see `own_images.build`.

    Raises:
        FileNotFoundError: the table does not exist, or a picture that must.
        ValueError: the table is not of the form above, or what `own_images.build` refuses.
    """
    rows = read(labels_csv, allow_outside=allow_outside, allow_missing=allow_missing, note=note)

    def listed(split):
        pictures = [
            own_images.LabeledPath(row.path, row.label)
            for row in rows
            if row.split == split and row.label
        ]
        return own_images.Listed(pictures, f"--labels_csv={labels_csv}", "leave the label empty")

    return own_images.build(
        "csv",
        listed("train"),
        [row.path for row in rows if not row.label],
        listed("validation"),
        listed("test"),
        image_size=image_size,
        flip=flip,
        note=note,
    )


def has_split(split: str, labels_csv: str, **options) -> bool:
    """Whether a table names pictures of a split; other arguments and errors are those of `read`."""
    return any(row.split == split for row in read(labels_csv, **options))


def read(
    labels_csv: str,
    *,
    allow_outside: bool = False,
    allow_missing: bool = False,
    note: Callable[[str], None] = logging.info,
) -> list[Row]:
    """The rows of a table, checked.

    Args:
        labels_csv: path of the table.
        allow_outside: whether a path may lead out of the table's folder.
        allow_missing: whether it may name files that do not exist; not where that seems to be
            for the \\ of Windows in their paths.
        note: told which columns are ignored.

    Raises:
        FileNotFoundError: the table does not exist, or a picture that must.
        ValueError: the table is not of the form that this module describes.
    """
    labels_csv = os.path.expanduser(labels_csv)
    if not os.path.isfile(labels_csv):
        raise FileNotFoundError(f"--labels_csv={labels_csv} is not a file.")
    try:
        with open(labels_csv, encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(file, labels_csv, allow_outside, note))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--labels_csv={labels_csv} must be UTF-8: {error}; save it as CSV UTF-8."
        ) from None
    if not rows:
        raise ValueError(f"--labels_csv={labels_csv} has no rows below its header.")
    _check_files(labels_csv, rows, allow_missing)
    return rows


def _rows(file, table: str, allow_outside: bool, note: Callable[[str], None]) -> Iterator[Row]:
    reader = csv.reader(file, strict=True)
    folder = os.path.dirname(os.path.abspath(table))
    folders = folder, os.path.realpath(folder)
    try:
        header = _header(next(reader, []), table, note)
        for values in reader:
            if not any(map(str.strip, values)):
                continue
            where = f"--labels_csv={table}, line {reader.line_num}"
            separator = _other_separator(values)
            is_joined = separator and not os.path.lexists(os.path.join(folder, values[0]))
            if is_joined or len(values) > len(header):
                raise ValueError(
                    f"{where} must have {len(header)} columns, got {len(values)}{separator}."
                )
            # Excel leaves out the commas before empty cells that end a row.
            values += [""] * (len(header) - len(values))
            fields = dict(zip(header, values, strict=True))
            yield _row(fields, where, reader.line_num, folders, allow_outside)
    except csv.Error as error:
        raise ValueError(f"--labels_csv={table}, line {reader.line_num}: {error}.") from None


def _header(names: list[str], table: str, note: Callable[[str], None]) -> list[str]:
    header = [name.strip().lower() for name in names]
    if not set(_REQUIRED) <= set(header):
        raise ValueError(
            f"--labels_csv={table} must begin with a line that names the columns path and "
            f"label, separated by commas (and split where there is a test set); got {names}"
            f"{_other_separator(names)}."
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ValueError(f"--labels_csv={table} must name a column once, got {twice[0]} twice.")
    ignored = [name for name in header if name and name not in (*_REQUIRED, "split")]
    nameless = header.count("")  # the index of a data frame, columns that a spreadsheet left empty
    if ignored or nameless:
        named = [*ignored, *([f"{nameless} without a name"] if nameless else [])]
        note(f"--labels_csv={table}: ignored the columns {', '.join(named)}.")
    return header


def _other_separator(names: list[str]) -> str:
    """What seems to stand in place of commas, for a refusal."""
    if len(names) == 1:
        for mark, said in ((";", ";"), ("\t", "tabs")):
            if mark in names[0]:
                return f"; it is separated by {said}"
    return ""


def _row(
    fields: dict[str, str], where: str, line: int, folders: tuple[str, str], allow_outside: bool
) -> Row:
    """A row, checked; the table's folder is given as it is written and without links."""
    label = unicodedata.normalize("NFC", fields["label"].strip())
    split = fields.get("split", "").strip().lower() or "train"
    if split not in _SPLITS:
        raise ValueError(
            f"{where}: split must be train, validation or test, got {fields['split']!r}."
        )
    if split != "train" and not label:
        raise ValueError(f"{where}: a row of the {split} split must have a label.")
    if not fields["path"]:
        raise ValueError(f"{where}: the path is empty.")
    if "\0" in fields["path"]:
        raise ValueError(f"{where}: a path cannot hold the byte 0.")
    path = _written_as_on_disk(fields["path"], folders[0])
    if not allow_outside and not _is_inside(path, folders):
        raise ValueError(
            f"{where}: {fields['path']} leads out of the table's folder; "
            "--allow_outside_paths permits that."
        )
    return Row(path, label, split, line)


def _written_as_on_disk(name: str, folder: str) -> str:
    """Where a file is, whichever way its name and the table write letters with marks.

    A name with blanks around it is that without them, where there is no file with them.
    """
    bare = name.strip() or name
    place, without = (os.path.normpath(os.path.join(folder, one)) for one in (name, bare))
    if (name.isascii() and bare == name) or os.path.lexists(place):
        return place
    found = (_spelled_as_on_disk(one) for one in dict.fromkeys((place, without)))
    return next(filter(os.path.lexists, found), place)


def _spelled_as_on_disk(path: str) -> str:
    """A path, each part of it in the spelling that is there; without any as it is."""
    if os.path.lexists(path):
        return path
    folder, name = os.path.split(path)
    if not name:
        return path
    folder = _spelled_as_on_disk(folder)
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    places = (os.path.join(folder, form) for form in forms)
    return next(filter(os.path.lexists, places), os.path.join(folder, name))


def _is_inside(path: str, folders: tuple[str, str]) -> bool:
    """Whether a path stays below a folder, as it is written and through links."""
    ways = zip((path, os.path.realpath(path)), folders, strict=True)
    return all(pathlib.PurePath(one).is_relative_to(parent) for one, parent in ways)


def _check_files(table: str, rows: list[Row], allow_missing: bool) -> None:
    first: dict[str, int] = {}
    missing = []
    for row in rows:
        if first.setdefault(row.path, row.line) != row.line:
            raise ValueError(
                f"--labels_csv={table} names {row.path} twice, "
                f"in lines {first[row.path]} and {row.line}."
            )
        if not os.path.isfile(row.path):
            missing.append(row)
    backslashed = [row for row in missing if "\\" in row.path]
    if missing and (not allow_missing or _is_from_windows(backslashed, rows)):
        way_out = "--on_bad_image=skip leaves them out"
        if backslashed:
            way_out = "write / in place of \\ in paths"
        named = [f"line {row.line}: {row.path}" for row in missing]
        raise FileNotFoundError(
            f"--labels_csv={table} names {naming.counted(len(missing), 'missing file')}: "
            f"{naming.some(named, '; ')}; {way_out}."
        )


def _is_from_windows(backslashed: list[Row], rows: list[Row]) -> bool:
    """Whether rows of missing files seem to be so for the \\ in their paths alone."""
    if 2 * len(backslashed) >= len(rows):
        return True
    return any(os.path.isfile(row.path.replace("\\", "/")) for row in backslashed)
