"""The records that every data set is turned into: pictures, a data set, a split.

Nothing here reads a file or draws a random number.
"""

import dataclasses
import hashlib

import numpy as np

UNKNOWN_LABEL = -1


@dataclasses.dataclass(frozen=True)
class ArrayImages:
    """Pictures held in memory.

    Attributes:
        pixels: uint8 [N, H, W, Ch].
        labels: int64 [N], class of each row, `UNKNOWN_LABEL` where nobody knows it.
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        """Refuses what would be read as other pictures or classes."""
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            got = f"{self.pixels.dtype} {list(self.pixels.shape)}"
            raise ValueError(f"pixels must be uint8 [N, H, W, Ch], got {got}.")
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.pixels),):
            got = f"{self.labels.dtype} {list(self.labels.shape)}"
            raise ValueError(f"labels must be int64 [{len(self.pixels)}], got {got}.")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class FileImages:
    """Pictures that stay in their files and are decoded when they are needed.

    Attributes:
        paths: str [N], absolute path of each picture.
        labels: int64 [N], class of each row, `UNKNOWN_LABEL` where nobody knows it.
    """

    paths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class RowsOf:
    """Rows of pictures in memory or in a mapped file, whose pixels are fetched when they are read.

    Attributes:
        images: whose rows they are.
        rows: int64 [N], in any order.
    """

    images: ArrayImages
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 [N], class of each, `UNKNOWN_LABEL` where nobody knows it."""
        return self.images.labels[self.rows]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)


@dataclasses.dataclass(frozen=True)
class Split:
    """Which training rows are labeled, which are unlabeled, which are held out.

    Attributes:
        labeled: int64 [N_l], rows of `Dataset.train` whose label may be used.
        unlabeled: int64 [N_u], rows whose label may not be used.
        validation: int64 [N_v], rows in neither stream, for choosing hyper-parameters.
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray

    def pool(self, include_labeled: bool) -> np.ndarray:
        """int64 [P], rows that the unlabeled stream draws from; labeled ones come first."""
        if include_labeled:
            return np.concatenate([self.labeled, self.unlabeled])
        return self.unlabeled

    def checksum(self) -> str:
        """Sixteen hexadecimal digits that change whenever a row moves."""
        digest = hashlib.sha256()
        for part in (self.labeled, self.unlabeled, self.validation):
            digest.update(np.asarray([len(part)], "<i8").tobytes())
            digest.update(np.asarray(part, "<i8").tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set before it is split.

    Attributes:
        name: the value of `--dataset`.
        class_names: C names; a label is an index into them.
        image_shape: (height, width, channels) of what the network sees; 1 or 3 channels.
        train: every training row. Unlabeled pictures of a user carry `UNKNOWN_LABEL`;
            benchmarks know all labels and the split decides which are used.
        test: evaluation rows, all labels known, or None where there is no test set.
        flip: whether a mirrored picture is still of its class (not for digits).
        mean: Ch floats in [0, 1], subtracted by the network's first layer.
        std: Ch floats, divided by after that.
        given_split: the split where the data themselves say what is labeled
            (folders, CSV), else None and `splits` draws one.
        central_fraction: side of the central square that the network is evaluated on, over the
            shorter side of a picture file, in (0, 1]; None where whole pictures are.
        files_checksum: of the names of picture files, `identity.files_checksum`; None where
            the pictures did not come from files of their own.
        training_checksum: of those that are not of the test and their labels, likewise,
            `identity.training_checksum`.
        test_checksum: of those that are, `identity.test_checksum`.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: ArrayImages | FileImages
    test: ArrayImages | FileImages | None
    flip: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    given_split: Split | None = None
    central_fraction: float | None = None
    files_checksum: str | None = None
    training_checksum: str | None = None
    test_checksum: str | None = None

    def __post_init__(self):
        """Refuses pictures that are neither gray nor coloured."""
        shape = self.image_shape
        if len(shape) != 3 or min(shape[:2]) < 1 or shape[2] not in (1, 3):
            raise ValueError(f"image_shape must be (height, width, 1 or 3), got {shape}.")

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 [C], rows of each class; unknown labels are not counted."""
    labels = np.asarray(labels)
    return np.bincount(labels[labels != UNKNOWN_LABEL], minlength=num_classes)


def take(
    images: ArrayImages | FileImages | RowsOf, rows: np.ndarray
) -> ArrayImages | FileImages | RowsOf:
    """The pictures of these rows, in this order; of an array int64 of rows pixels are copied."""
    if isinstance(images, RowsOf):
        return RowsOf(images.images, images.rows[rows])
    values = {field.name: getattr(images, field.name)[rows] for field in dataclasses.fields(images)}
    return type(images)(**values)


def view(images: ArrayImages | FileImages, rows: np.ndarray) -> RowsOf | FileImages:
    """The same without a copy of pixels, to be read once: there may be more than memory holds."""
    return RowsOf(images, rows) if isinstance(images, ArrayImages) else take(images, rows)
