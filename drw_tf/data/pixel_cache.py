"""Many small pictures as one array, in memory or in a file that is mapped.

The file is raw uint8, beside it the labels and, written last, a record that names the source:
files without that record are taken for unfinished and written again.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tqdm

from drw_tf import whole_files
from drw_tf.data import cache_folder
from drw_tf.data import dataset as records


@dataclasses.dataclass(frozen=True)
class Source:
    """Pictures that come in blocks.

    Attributes:
        title: tells these pictures from others.
        capacity: at least the number of pictures.
        shape: (H, W, Ch) of each.
        blocks: makes an iterator over (uint8 [n, H, W, Ch], int64 [n] labels).
    """

    title: str
    capacity: int
    shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]

    @property
    def num_bytes(self) -> int:
        """Bytes of all pixels, at most."""
        return self.capacity * int(np.prod(self.shape))


def check_memory(sources: Iterable[Source]) -> None:
    """Refuses pictures that this machine's memory cannot hold.

    Raises:
        ValueError: they need more than there is.
    """
    if not hasattr(os, "sysconf"):
        return
    needed = sum(source.num_bytes for source in sources)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise ValueError(
            f"the pictures need {needed / 1e9:.1f} GB of memory, this machine has "
            f"{memory / 1e9:.1f} GB; --cache_dir keeps them in a file instead."
        )


def in_memory(source: Source) -> records.ArrayImages:
    """All pictures in one array, filled in place."""
    # Memory that is never written to is never taken, so capacity to spare costs nothing.
    pixels = np.empty((source.capacity, *source.shape), np.uint8)
    labels = np.empty(source.capacity, np.int64)
    rows = 0
    for block, block_labels in _blocks(source):
        end = rows + len(block)
        pixels[rows:end], labels[rows:end] = block, block_labels
        rows = end
    return records.ArrayImages(pixels[:rows], labels[:rows].copy())


def in_file(source: Source, stem: str) -> records.ArrayImages:
    """All pictures as a read-only map of a file, which is written unless it is there.

    Args:
        source: the pictures.
        stem: path of the files without their endings.

    Raises:
        ValueError: the files are of another source.
    """
    with cache_folder.alone(os.path.dirname(stem)):
        if _record(stem) is None:
            _write(source, stem)
    record = _record(stem)
    if record["source"] != source.title:
        raise ValueError(
            f"--cache_dir has {stem} made from {record['source']}, not from {source.title}; "
            "choose another folder."
        )
    shape = (record["rows"], *source.shape)
    pixels = np.memmap(stem + ".uint8", np.uint8, "r", shape=shape)
    return records.ArrayImages(pixels, np.load(stem + "_labels.npy", allow_pickle=False))


def _record(stem: str) -> dict | None:
    """What was written last; None where nothing was, or a crash cut it."""
    try:
        with open(stem + ".json", encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def _write(source: Source, stem: str) -> None:
    labels = []
    with open(stem + ".uint8.part", "wb") as file:
        for block, block_labels in _blocks(source):
            np.ascontiguousarray(block).tofile(file)
            labels.append(block_labels)
    os.replace(stem + ".uint8.part", stem + ".uint8")
    labels = np.concatenate(labels)
    np.save(stem + "_labels.npy", labels)
    for path in (stem + ".uint8", stem + "_labels.npy"):
        whole_files.flush(path)  # before the record says that they are there
    with whole_files.replaced(stem + ".json") as file:
        json.dump({"source": source.title, "rows": len(labels)}, file)


def _blocks(source: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    title = os.path.basename(source.title)
    # disable=None: no bar where standard error is no terminal.
    with tqdm.tqdm(desc=f"Reading {title}", disable=None) as bar:
        for block, labels in source.blocks():
            yield block, labels
            bar.update(len(block))
