"""Command lines with `--flagfile=PATH`, and flagfiles that name other ones.

One flag a line, as on the command line but without quotes; empty lines and lines that begin
with # or // are skipped. Where a flagfile names another one, that is looked for in the folder
of the file that names it, then from the working directory, so flagfiles work from any folder.
"""

import os
from collections.abc import Sequence

_NAMES = ("--flagfile", "-flagfile")
_COMMENTS = ("#", "//")


def expand(words: Sequence[str]) -> list[str]:
    """The words of a command line, each flagfile replaced by the flags in it.

    Args:
        words: without the program's name; `--flagfile=PATH` and `--flagfile PATH` are read.

    Raises:
        ValueError: a file cannot be read, or names itself, perhaps through others.
    """
    out, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*out, word, *rest]
        name, equals, path = word.partition("=")
        if name not in _NAMES:
            out.append(word)
            continue
        if not equals and rest:
            path = rest.pop(0)
        out.extend(_flags_in(os.path.expanduser(path), ()))
    return out


def _flags_in(path: str, above: tuple[str, ...]) -> list[str]:
    """The flags of one file; `above` are the files that lead to it."""
    out = []
    for line in _lines(path, above):
        name, _, value = line.partition("=")
        if name.strip() in _NAMES:
            nested = os.path.expanduser(value.strip())
            beside = os.path.join(os.path.dirname(path), nested)
            found = beside if nested and os.path.exists(beside) else nested
            out.extend(_flags_in(found, (*above, path)))
        else:
            out.append(line)
    return out


def _lines(path: str, above: tuple[str, ...]) -> list[str]:
    chain = f" (named in {above[-1]})" if above else ""
    if not path:
        raise ValueError(f"--flagfile must name a file{chain}.")
    if os.path.realpath(path) in map(os.path.realpath, above):
        raise ValueError(f"a flagfile must not name itself: {' -> '.join([*above, path])}.")
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"--flagfile={path} cannot be read{chain}: {cause}.") from None
    return [line for line in lines if line and not line.startswith(_COMMENTS)]
