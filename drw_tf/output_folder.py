"""Folders for reports: looked at before the work, and nothing but an earlier report is replaced."""

import pathlib
import re
import tempfile
from collections.abc import Sequence

from drw_tf import config as configuration


def check(out: str, page: str, first_line: str, others: Sequence[str]) -> pathlib.Path:
    """The folder, which need not exist yet.

    Args:
        out: value of --out.
        page: name of the report's page in Markdown, which is written first.
        first_line: regular expression of that page's first line.
        others: names of further files that are written.

    Raises:
        ConfigError: it is no folder, cannot be written, or has a file of one of these names
            beside no page of an earlier report.
    """
    folder = pathlib.Path(out)
    if not out or (folder.exists() and not folder.is_dir()):
        raise configuration.ConfigError(f"--out must be a folder, got {out!r}.")
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise configuration.ConfigError(
            f"--out={out} cannot be written: {there}: {error.strerror}."
        ) from None
    found = [name for name in (page, *others) if (folder / name).exists()]
    if found and not _is_ours(folder / page, first_line):
        raise configuration.ConfigError(
            f"--out must be new or the folder of an earlier report of this kind, "
            f"{folder / found[0]} is something else."
        )
    return folder


def _is_ours(page: pathlib.Path, first_line: str) -> bool:
    try:
        with page.open(encoding="utf-8") as file:
            return bool(re.fullmatch(first_line, file.readline().rstrip("\n")))
    except (OSError, UnicodeDecodeError):
        return False
