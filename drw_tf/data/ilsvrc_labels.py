"""Classes of validation pictures that lie in one folder instead of one a class.

Pictures under their official names, ILSVRC2012_val_00000001.JPEG to _00050000, need no file:
TensorFlow Datasets carries the list. For other names a file says which is which, in one of
these forms, known by its contents:

    ImageId,PredictionString    Kaggle's LOC_val_solution.csv: name, then wnid and boxes
    <name> <wnid>               a line for each picture, space or comma between
    <name> <index>              as Caffe's val.txt: 0..999 in the order of the wnids
    <wnid>                      a line for each picture, in the order of the names

The devkit's ILSVRC2012_validation_ground_truth.txt is refused: it numbers classes in another
order, which stands in a MATLAB file, and its pictures have official names anyway.
"""

import os
import re
from collections.abc import Callable, Sequence

import tensorflow_datasets as tfds

FORMS = (
    "LOC_val_solution.csv (ImageId,PredictionString), lines '<name> <wnid>', lines "
    "'<name> <index 0..999 in wnid order>', or one wnid a line in the order of the names"
)
_OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})")
_OFFICIAL_LIST = "datasets/imagenet2012/validation_labels.txt"
_NAMED = 3


def read(
    names: Sequence[str],
    labels_file: str | None,
    wnids: Sequence[str],
    folder: str,
    note: Callable[[str], None],
) -> list[str]:
    """The wnid of each picture.

    Args:
        names: file names of the pictures, sorted.
        labels_file: a file of a form above, or None for official names.
        wnids: the 1000 of ImageNet-1k, sorted.
        folder: where the pictures lie, for messages.
        note: told where the classes come from.

    Raises:
        FileNotFoundError: `labels_file` is not there.
        ValueError: it is not UTF-8, of another form or names too few pictures, or is needed
            and missing.
    """
    stems = [os.path.splitext(name)[0] for name in names]
    if labels_file is None:
        return _official(stems, folder, note)
    if not os.path.isfile(labels_file):
        raise FileNotFoundError(f"--val_labels={labels_file} is not a file.")
    try:
        with open(labels_file, encoding="utf-8-sig") as file:
            lines = [line for line in map(str.strip, file) if line]
    except UnicodeDecodeError as error:
        raise ValueError(f"--val_labels={labels_file} must be UTF-8: {error}.") from None
    note(f"classes of {folder} come from {labels_file}.")
    if lines and len(_fields(lines[0])) == 1:
        return _column(lines, stems, wnids, labels_file)
    return _pairs(lines, stems, wnids, labels_file)


def _official(stems: list[str], folder: str, note: Callable[[str], None]) -> list[str]:
    numbers = [_OFFICIAL.fullmatch(stem) for stem in stems]
    if not all(numbers):
        strange = [stem for stem, match in zip(stems, numbers, strict=True) if not match]
        raise ValueError(
            f"{folder} is flat and has pictures without official names (ILSVRC2012_val_00000001), "
            f"as {', '.join(strange[:_NAMED])}; --val_labels must name a file with their classes: "
            f"{FORMS}."
        )
    known = tfds.core.tfds_path(_OFFICIAL_LIST).read_text().split()
    rows = [int(match[1]) - 1 for match in numbers]
    if not all(0 <= row < len(known) for row in rows):
        raise ValueError(f"{folder} has pictures with numbers outside 1..{len(known)}.")
    note(f"classes of {folder} come from the list in tensorflow_datasets.")
    return [known[row] for row in rows]


def _column(
    lines: list[str], stems: list[str], wnids: Sequence[str], labels_file: str
) -> list[str]:
    if all(line.isdigit() for line in lines):
        raise ValueError(
            f"--val_labels={labels_file} holds the devkit's own class numbers, whose order is "
            "not known here; pictures with official names (ILSVRC2012_val_00000001) need no "
            f"such file, others {FORMS}."
        )
    if len(lines) != len(stems):
        raise ValueError(
            f"--val_labels={labels_file} must have one line for each of the {len(stems)} "
            f"pictures, got {len(lines)}."
        )
    known = set(wnids)
    return [_known(line, known, labels_file) for line in lines]


def _pairs(lines: list[str], stems: list[str], wnids: Sequence[str], labels_file: str) -> list[str]:
    if lines and _fields(lines[0]) == ["ImageId", "PredictionString"]:
        lines = lines[1:]
    known = set(wnids)
    table = {}
    for line in lines:
        fields = _fields(line)
        if len(fields) < 2:
            raise ValueError(f"--val_labels={labels_file} must be {FORMS}; got {line[:60]!r}.")
        name, label = fields[:2]
        if label.isdigit() and int(label) < len(wnids):
            label = wnids[int(label)]
        stem = os.path.splitext(os.path.basename(name))[0]
        table[stem] = _known(label, known, labels_file)
    missing = [stem for stem in stems if stem not in table]
    if missing:
        raise ValueError(
            f"--val_labels={labels_file} lacks {len(missing)} of {len(stems)} pictures, as "
            f"{', '.join(missing[:_NAMED])}."
        )
    return [table[stem] for stem in stems]


def _known(wnid: str, known: set[str], labels_file: str) -> str:
    if wnid not in known:
        raise ValueError(
            f"--val_labels={labels_file} must be {FORMS}; {wnid!r} is no class of ImageNet-1k."
        )
    return wnid


def _fields(line: str) -> list[str]:
    return re.split(r"[,\s]+", line)
