"""Many names in one line of a message."""

from collections.abc import Sequence

_NAMED = 10


def is_one_line(name: str) -> bool:
    """Whether a name can be a line of a file; an empty one cannot."""
    return name.splitlines() == [name]


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first ten names, and how many more there are."""
    more = len(names) - _NAMED
    # After semicolons a bare "and" would read as a part of the last name.
    gap = " " if separator == ", " else separator
    return separator.join(names[:_NAMED]) + (f"{gap}and {more:,} more" if more > 0 else "")
