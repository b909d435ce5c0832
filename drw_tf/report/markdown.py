"""Tables and names in Markdown."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], aligned: bool = False) -> str:
    """A table.

    Args:
        head: titles of the columns.
        rows: cells, as they are to stand there.
        aligned: names in the first column, numbers right-aligned in the others; columns are so
            in plain text, too.
    """
    if not aligned:
        return _lines(head, ["---"] * len(head), rows)
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def padded(cells):
        numbers = zip(cells[1:], widths[1:], strict=True)
        return [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)]

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return _lines(padded(head), rule, [padded(row) for row in rows])


def _lines(head, rule, rows) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def cell(name: str) -> str:
    """A name, which may be anybody's, as a cell that a terminal shows too."""
    return name.replace("|", "\\|").replace("\n", " ")


def escaped(name: str) -> str:
    """The same as plain text anywhere in Markdown."""
    for letter in "\\`*_[]<>|#":
        name = name.replace(letter, f"\\{letter}")
    return name
