"""Whether data are those that a run was begun with: names of classes, labels, split, files.

A label is an index, so pictures that came, went or were renamed move what a number means under
a network that has learned it. Pixels are not looked at.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from drw_tf.data import dataset as records
from drw_tf.data import naming

_DIGITS = 16
_OTHER_SPLIT = "other pictures are labeled"


def files_checksum(dataset: records.Dataset) -> str:
    """Sixteen hexadecimal digits of the files' names, which stay when their folders are moved.

    Args:
        dataset: of `FileImages`.
    """
    test = [] if dataset.test is None else [dataset.test.paths]
    return _digest(map(_names, [*_training_paths(dataset), *test]))


def training_checksum(dataset: records.Dataset) -> str:
    """The same of the training files and their labels; a test set may be another one later.

    Args:
        dataset: of `FileImages`.
    """
    return _digest([*map(_names, _training_paths(dataset)), _numbers(dataset.train.labels)])


def test_checksum(dataset: records.Dataset) -> str | None:
    """The same of the test files and their labels, None without any.

    Args:
        dataset: of `FileImages`.
    """
    test = dataset.test
    return None if test is None else _digest([_names(test.paths), _numbers(test.labels)])


def recorded(dataset: records.Dataset, split: records.Split) -> dict:
    """What the record of a run says about the data, JSON-serialisable.

    Args:
        dataset: and
        split: see `facts`.
    """
    train, test = dataset.train.labels, dataset.test

    def counts(labels):
        """[C], or None where nobody knows the classes."""
        if (labels == records.UNKNOWN_LABEL).any():
            return None
        return records.class_counts(labels, dataset.num_classes).tolist()

    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "split_checksum": split.checksum(),
        "training_checksum": dataset.training_checksum,
        "test_checksum": dataset.test_checksum,
        "labeled_counts": counts(train[split.labeled]),
        "unlabeled_counts": counts(train[split.unlabeled]),
        "unlabeled_pictures": len(split.unlabeled),
        "validation_counts": counts(train[split.validation]),
        "test_counts": None if test is None else counts(test.labels),
    }


def facts(dataset: records.Dataset, split: records.Split) -> dict:
    """What `difference` and `training_difference` compare, and `recorded`; JSON-serialisable.

    Args:
        dataset: as `registry.load` gives it.
        split: of its training rows.
    """
    test = dataset.test
    labels = [dataset.train.labels, *([] if test is None else [test.labels])]
    return {
        "class_names": list(dataset.class_names),
        "training_pictures": len(dataset.train),
        "test_pictures": 0 if test is None else len(test),
        **numbers(dataset, split),
        "labels": _digest(map(_numbers, labels)),
        "split": split.checksum(),
        "files": dataset.files_checksum,
        "training": dataset.training_checksum,
        "recorded": recorded(dataset, split),
    }


def numbers(dataset: records.Dataset, split: records.Split) -> dict:
    """The part of `facts` that training computes with.

    Args:
        dataset: and
        split: see `facts`.

    Returns:
        "labeled_counts": labeled pictures of each class; "unlabeled_pictures": how many.
    """
    labeled = dataset.train.labels[split.labeled]
    return {
        "labeled_counts": records.class_counts(labeled, dataset.num_classes).tolist(),
        "unlabeled_pictures": len(split.unlabeled),
    }


def difference(before: Mapping, now: Mapping) -> str | None:
    """In what data differ, in a few words; None where they are the same.

    Args:
        before: `facts`; what it lacks is not compared.
        now: `facts`.
    """
    if "class_names" in before and before["class_names"] != now["class_names"]:
        return class_difference(before["class_names"], now["class_names"])
    for name in ("training_pictures", "test_pictures"):
        if name in before and before[name] != now[name]:
            if not before[name]:  # of the test alone, as no run is begun without training ones
                return (
                    f"it had no test pictures, now {now[name]:,} (evaluate judges the run as it is "
                    "on them, with --test_dir for folders)"
                )
            noun = name.replace("_", " ").removesuffix("s")
            return f"it had {naming.counted(before[name], noun)}, now {now[name]:,}"
    texts = {
        "files": "the files have other names",
        "labels": "pictures have other classes",
        "split": _OTHER_SPLIT,
    }
    for name, text in texts.items():
        if name in before and before[name] != now[name]:
            return text
    return None


def training_difference(before: Mapping, now: Mapping) -> str | None:
    """In what the training pictures differ, in a few words; None where they do not.

    Args:
        before: `facts`; what it lacks is not compared.
        now: `facts`, of the same classes.
    """
    had = before.get("labeled_counts", now["labeled_counts"])
    for name, one, other in zip(now["class_names"], had, now["labeled_counts"], strict=True):
        if one != other:
            return f"it had {naming.counted(one, 'labeled picture')} of {name}, now {other:,}"
    unlabeled = before.get("unlabeled_pictures", now["unlabeled_pictures"])
    if unlabeled != now["unlabeled_pictures"]:
        pictures = naming.counted(unlabeled, "unlabeled picture")
        return f"it had {pictures}, now {now['unlabeled_pictures']:,}"
    texts = {
        "training": "the files have other names, or pictures other classes",
        "split": _OTHER_SPLIT,
    }
    for name, text in texts.items():
        if before.get(name) not in (None, now[name]):
            return text
    return None


def test_difference(before: Mapping, now: Mapping) -> str | None:
    """In what the test pictures differ, in a few words; None where they do not.

    Args:
        before: `recorded`; what it lacks is not compared.
        now: `recorded`, of the same classes.
    """
    had, have = (sum(one["test_counts"] or ()) for one in (before, now))
    if had != have:
        return f"it had {naming.counted(had, 'test picture')}, now {have:,}"
    checksum = before.get("test_checksum")
    is_other = checksum and now["test_checksum"] and checksum != now["test_checksum"]
    if is_other or before["test_counts"] != now["test_counts"]:
        return "the test files have other names, or pictures other classes"
    return None


def class_difference(before: Sequence[str], now: Sequence[str]) -> str | None:
    """In what two lists of class names differ, in a few words; None where they do not."""
    if len(before) != len(now):
        had = naming.counted(len(before), "class", "classes")
        moved = {
            "new": [name for name in now if name not in before],
            "gone": [name for name in before if name not in now],
        }
        named = [f"{word}: {naming.some(names)}" for word, names in moved.items() if names]
        return f"it had {had}, now {len(now):,} ({'; '.join(named)})"
    for number, (one, other) in enumerate(zip(before, now, strict=True)):
        if one != other:
            return f"class {number} was {one!r}, now {other!r}"
    return None


def _training_paths(dataset: records.Dataset) -> list[np.ndarray]:
    split = dataset.given_split
    if split is None:
        return [dataset.train.paths]
    parts = (split.labeled, split.unlabeled, split.validation)
    return [dataset.train.paths[part] for part in parts]


def _numbers(labels: np.ndarray) -> bytes:
    return np.asarray(labels, "<i8").tobytes()


def _names(paths: Sequence[str]) -> bytes:
    return "\0".join(_below_their_folder(paths)).encode()


def _below_their_folder(paths: Sequence[str]) -> Iterable[str]:
    if not len(paths):
        return ()
    if len(set(paths)) == 1:
        return map(os.path.basename, paths)
    # What the first and the last in order have in common, all between them have.
    cut = len(os.path.join(os.path.commonpath([min(paths), max(paths)]), ""))
    return (path[cut:] for path in paths)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:_DIGITS]
