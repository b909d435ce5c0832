"""Where the sets lie that TensorFlow Datasets has prepared on this machine."""

import pathlib
import re

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def versions(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Folder of each version, by its number, the newest last; of unfinished ones none.

    Args:
        folder: of a set, or of one of its configurations; it may be missing.
    """
    found = [info.parent for info in folder.glob("*/dataset_info.json")]
    whole = [version for version in found if _VERSION.fullmatch(version.name)]
    whole.sort(key=lambda version: [int(number) for number in version.name.split(".")])
    return {version.name: version for version in whole}


def newest(data_dir: str, *names: str) -> str | None:
    """Folder of the newest version of a set, or None.

    Args:
        data_dir: folder of prepared sets.
        *names: the set's name, and its configuration's where it has any.
    """
    found = [*versions(pathlib.Path(data_dir, *names)).values()]
    return str(found[-1]) if found else None
