"""Many names in one line of a message."""

from collections.abc import Sequence

_NAMED = 10


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first ten names, and how many more there are."""
    more = len(names) - _NAMED
    return separator.join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
