"""Names and numbers in one line of a message."""

from collections.abc import Sequence

_NAMED = 10


def is_one_line(name: str) -> bool:
    """Whether a name can be a line of a file; an empty one cannot."""
    return name.splitlines() == [name]


def shown(name: str) -> str:
    """A name as it can stand in a line: line ends and what is not UTF-8 are escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and what is counted, as "1 picture" and "1,200 pictures"; [noun + "s"]."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def sets(held_out: bool) -> str:
    """Where a picture should not be more than once, after "in"; with a validation set or not."""
    return "two of training, validation and test" if held_out else "training and test"


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first ten names, and how many more there are."""
    more = len(names) - _NAMED
    # After semicolons a bare "and" would read as a part of the last name.
    gap = " " if separator == ", " else separator
    named = separator.join(map(shown, names[:_NAMED]))
    return named + (f"{gap}and {more:,} more" if more > 0 else "")
