"""`--dataset=folder`: a user's pictures in folders, one sub-folder a class.

    labeled_dir/<class>/...    any nesting below the class
    unlabeled_dir/...          any nesting
    validation_dir/<class>/... as labeled_dir
    test_dir/<class>/...       as labeled_dir

Rows are ordered by relative path (Unicode NFC, by code point), so they are the same on every
machine. Hidden files and folders and files that are no pictures by their extension are
ignored and counted. Links to files and folders are followed wherever they lead, for data
sets are often made of links; a folder that leads back into itself is entered once. What two
links lead to is listed under both, so that `own_images` sees what is one picture. One that leads
nowhere is left to the scan where it is a picture by its extension, refused where it stands for a
class, and told elsewhere.
"""

import collections
import dataclasses
import errno
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from absl import logging

from drw_tf import places
from drw_tf.data import dataset as records
from drw_tf.data import image_files, naming, own_images

# Of a link to itself, and of one through a file; of others that lead nowhere no error is raised.
_NOWHERE = (errno.ELOOP, errno.ENOTDIR)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pictures below a folder.

    Attributes:
        folder: absolute path.
        names: paths of the pictures relative to it, sorted.
        others: number of files that are no pictures, by extension.
        hidden: number of hidden files and folders.
        folders: names of the folders directly below it.
        misspelled: paths of pictures relative to it that are not UTF-8, sorted.
        broken: paths relative to it of links that lead nowhere and are no pictures by their
            extension, sorted.
    """

    folder: str
    names: tuple[str, ...]
    others: dict[str, int]
    hidden: int
    folders: tuple[str, ...]
    misspelled: tuple[str, ...]
    broken: tuple[str, ...]

    def paths(self) -> list[str]:
        """Absolute path of each picture."""
        return [os.path.join(self.folder, name) for name in self.names]

    def rest(self) -> str:
        """What else is below it and not hidden, in a few words; "" for nothing."""
        parts = (
            self.misspelled and _misspelled(self.misspelled),
            _counted(self.others),
            self.broken and _broken(self.broken),
        )
        return ", ".join(filter(None, parts))


def load(
    labeled_dir: str,
    unlabeled_dir: str | None = None,
    validation_dir: str | None = None,
    test_dir: str | None = None,
    *,
    image_size: int,
    flip: bool = True,
    skip_misspelled: bool = False,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """The data set of a user's folders, with the split that they give.

    Args:
        labeled_dir: folder with one sub-folder a class.
        unlabeled_dir: folder of pictures whose class nobody knows; it may contain the
            others, whose pictures then do not count as unlabeled, and lies in none of them.
            None for methods that use labeled pictures only.
        validation_dir: folder with one sub-folder a class, or None.
        test_dir: folder with one sub-folder a class, or None.
        image_size: side that pictures are brought to, pixels.
        flip: whether a mirrored picture is still of its class.
        skip_misspelled: see `listed`.
        note: see `own_images.build`.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: a folder has no pictures, pictures lie outside class folders, a class is a
            link that leads nowhere, the unlabeled pictures lie in a folder of classes, or what
            `listed` and `own_images.build` refuse.
    """

    def look(flag, folder):
        return listed(flag, folder, note, skip_misspelled)

    folders = {"labeled": labeled_dir, "validation": validation_dir, "test": test_dir}
    flags = {f"--{part}_dir": folder for part, folder in folders.items()}
    labeled, validation, test = (
        own_images.Listed(
            [] if folder is None else _in_classes(flag, folder, look),
            f"{flag}={folder}",
            "give its pictures in --unlabeled_dir",
        )
        for flag, folder in flags.items()
    )
    unlabeled = []
    if unlabeled_dir is not None:
        _refuse_in_classes(unlabeled_dir, flags)
        unlabeled = look("--unlabeled_dir", unlabeled_dir).paths()
    return own_images.build(
        "folder", labeled, unlabeled, validation, test, image_size=image_size, flip=flip, note=note
    )


def listed(
    flag: str, folder: str, note: Callable[[str], None], skip_misspelled: bool = False
) -> Listing:
    """The pictures below a folder that a flag names.

    Args:
        flag: with its dashes, for messages.
        folder: its value.
        note: told, a line at a time, what was left out.
        skip_misspelled: whether pictures whose names are not UTF-8 are left out, not refused.

    Raises:
        FileNotFoundError: it is not a folder.
        ValueError: it has no picture, names of pictures are not UTF-8, or a folder cannot be
            read.
    """
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{flag}={folder} is not a folder.")
    listing = list_pictures(folder)
    if listing.misspelled:
        line = f"{_misspelled(listing.misspelled)}: {naming.some(listing.misspelled)}"
        if not skip_misspelled:
            raise ValueError(
                f"{flag}={folder} has {line}; rename them, as convmv does, or "
                "--on_bad_image=skip leaves them out."
            )
        note(f"{flag}={folder}: left out {line}.")
    if not listing.names:
        raise ValueError(
            f"{flag}={folder} has no picture ({', '.join(image_files.EXTENSIONS)}); "
            f"it has {listing.rest() or 'no other files'}."
        )
    others = _counted(listing.others)
    if others or listing.hidden:
        note(f"{flag}={folder}: ignored {listing.hidden} hidden; other files: {others or 'none'}.")
    if listing.broken:
        note(f"{flag}={folder}: {_broken(listing.broken)}.")
    return listing


def list_pictures(folder: str) -> Listing:
    """The pictures below a folder, at any depth.

    Args:
        folder: path of a folder that exists.

    Raises:
        ValueError: the folder's own path is not UTF-8, or a folder cannot be read.
    """
    folder = os.path.abspath(folder)
    if not _is_utf8(folder):
        raise ValueError(f"folders must have names in UTF-8, got {folder!r}.")
    return _below(folder)


def _below(folder: str) -> Listing:
    """What `list_pictures` gives, of a folder of any name."""
    names: list[str] = []
    broken: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    hidden, top = 0, []
    # A folder, and those that it lies in: two links to one folder are both entered, as two
    # links to one file are both listed, and only what leads back into itself is not.
    waiting = [("", frozenset([own_images.file_identity(folder)]))]
    while waiting:
        below, around = waiting.pop()
        with _entries(os.path.join(folder, below)) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                if entry.name.startswith("."):
                    hidden += 1
                elif _is_folder(entry):
                    identity = own_images.file_identity(entry.path)
                    if identity not in around:
                        waiting.append((name, around | {identity}))
                        top += [] if below else [entry.name]
                elif _is_picture(name) and _is_file(entry):
                    names.append(name)
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    broken.append(name)
                else:
                    others[naming.shown(_extension(name)) or "no extension"] += 1
    names.sort(key=_order)
    return Listing(
        folder,
        tuple(filter(_is_utf8, names)),
        dict(others),
        hidden,
        tuple(top),
        tuple(name for name in names if not _is_utf8(name)),
        tuple(sorted(broken, key=_order)),
    )


def _in_classes(
    flag: str, folder: str, look: Callable[[str, str], Listing]
) -> list[own_images.LabeledPath]:
    listing = look(flag, folder)
    lost = [name for name in listing.broken if os.sep not in name]
    if lost:
        raise ValueError(
            f"{flag}={folder} must have a sub-folder for each class, got {_broken(lost)}; mend or "
            "remove them."
        )
    loose = [name for name in listing.names if os.sep not in name]
    if loose:
        raise ValueError(
            f"{flag}={folder} must have its pictures in one sub-folder a class, "
            f"got {len(loose)} directly in it: {naming.some(loose)}."
        )
    labels = [unicodedata.normalize("NFC", name.split(os.sep)[0]) for name in listing.names]
    folders = {unicodedata.normalize("NFC", name): name for name in listing.folders}
    empty = sorted(folders.keys() - set(labels))
    if empty:
        found = [f"{name} ({_held_instead(listing.folder, folders[name])})" for name in empty]
        raise ValueError(
            f"{flag}={folder} has class folders without a picture: {naming.some(found)}."
        )
    return list(map(own_images.LabeledPath, listing.paths(), labels))


def _refuse_in_classes(unlabeled_dir: str, of_classes: Mapping[str, str | None]) -> None:
    """Unlabeled pictures in a folder of classes would all be labeled, as a class of that name."""
    for flag, folder in of_classes.items():
        if folder is not None and places.lies_in(unlabeled_dir, folder):
            raise ValueError(
                f"--unlabeled_dir must lie outside {flag}={folder}, whose sub-folders are "
                f"classes, got {unlabeled_dir}; the other way round is allowed."
            )


def _held_instead(folder: str, name: str) -> str:
    """What a class folder without a picture that can be named holds."""
    below = _below(os.path.join(folder, name))
    # Its own name may be what is not UTF-8 in the paths of all of them.
    unnamed = *below.names, *below.misspelled
    return dataclasses.replace(below, names=(), misspelled=unnamed).rest() or "no files"


def _counted(others: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))


def _misspelled(names: Sequence[str]) -> str:
    return f"{naming.counted(len(names), 'picture')} whose names are not UTF-8"


def _broken(names: Sequence[str]) -> str:
    return f"links that lead nowhere: {naming.some(names)}"


def _is_picture(name: str) -> bool:
    return _extension(name) in image_files.EXTENSIONS


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _order(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace(os.sep, "/"))


def _entries(folder: str):
    try:
        return os.scandir(folder)
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be read: {error.strerror}.") from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # What may be a picture is left to the scan, which names it.
        if error.errno in _NOWHERE or _is_picture(entry.name):
            return False
        raise ValueError(
            f"{naming.shown(entry.path)}, which may be a folder, cannot be looked at: "
            f"{error.strerror}."
        ) from None


def _is_file(entry: os.DirEntry) -> bool:
    # A broken link counts, so that the scan names it; a pipe would block the reader.
    return entry.is_symlink() or entry.is_file()


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
