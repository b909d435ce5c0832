"""A report as Markdown beside its pictures, and as one HTML page that needs nothing else."""

import base64
import dataclasses
import html
import pathlib
from collections.abc import Sequence

from drw_tf.report import palette, pictures, tables

# SVG is sharp at any size, but a hundred lines over hundreds of evaluations take megabytes.
_MAX_SVG = 400_000
_CSS_PIXELS = 96  # an inch
# Widths in rem follow the reader's text size; pictures never exceed the window.
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #262626; background: #fff; margin: 0 auto;
  max-width: 92rem; padding: 1rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.35rem; margin-top: 3rem;
  border-bottom: 1px solid #d0d0d0; } h3 { font-size: 1.1rem; margin-top: 2rem; }
a { color: #005a9c; } nav ul { columns: 18rem; padding-left: 1.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .4rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e3e3e3; font-variant-numeric: tabular-nums; }
th { white-space: normal; vertical-align: bottom; border-bottom: 2px solid #6e6e6e; }
th:first-child, td:first-child { text-align: left; }
tr:nth-child(even) td { background: #f7f7f7; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #4a4a4a; font-size: .9rem; max-width: 60rem; }
.missing { border-left: 4px solid #b2182b; padding: .2rem .8rem; background: #faf3f3; }
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: heading.
        parts: paragraphs (str), titled tables (str, Table) and pictures, in order.
    """

    title: str
    parts: Sequence[str | tuple[str, tables.Table] | pictures.Picture]


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The report in Markdown; its pictures are links to the PNG files."""
    lines = [f"# {title}"]
    for section in sections:
        lines.append(f"## {section.title}")
        for part in section.parts:
            if isinstance(part, str):
                lines.append(part)
            elif isinstance(part, pictures.Picture):
                lines += [f"### {part.title}", *_picture_lines(part)]
            else:
                lines += [f"### {part[0]}", part[1].markdown(), part[1].note]
    return "\n\n".join(line for line in lines if line) + "\n"


def page(title: str, sections: Sequence[Section], folder: pathlib.Path) -> str:
    """The report as HTML; pictures lie inside of it, nothing is loaded from anywhere.

    Args:
        title: of the page.
        sections: its parts.
        folder: of the report, in which the pictures were written.
    """
    links = "\n".join(
        f'<li><a href="#{pictures.slug(one.title)}">{html.escape(one.title)}</a></li>'
        for one in sections
    )
    body = "\n".join(_section(one, folder) for one in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<nav><ul>\n{links}\n</ul></nav>\n{body}\n"
        "</body>\n</html>\n"
    )


def _picture_lines(part: pictures.Picture) -> list[str]:
    if part.missing:
        return [f"Not drawn: {part.missing}"]
    return [f"![{part.title}]({part.stem}.png)", part.caption]


def _section(section: Section, folder: pathlib.Path) -> str:
    name = pictures.slug(section.title)
    lines = [f'<section>\n<h2 id="{name}">{html.escape(section.title)}</h2>']
    for part in section.parts:
        if isinstance(part, str):
            lines.append(f"<p>{html.escape(part)}</p>")
        elif isinstance(part, pictures.Picture):
            lines.append(_picture(part, folder))
        else:
            lines.append(_table(*part))
    return "\n".join([*lines, "</section>"])


def _picture(part: pictures.Picture, folder: pathlib.Path) -> str:
    title = f"<h3>{html.escape(part.title)}</h3>"
    if part.missing:
        return f'{title}\n<p class="missing">Not drawn: {html.escape(part.missing)}</p>'
    kind, data, width = "svg+xml", pathlib.Path(f"{folder / part.stem}.svg").read_bytes(), ""
    if len(data) > _MAX_SVG:
        kind, data = "png", pathlib.Path(f"{folder / part.stem}.png").read_bytes()
        pixels = int.from_bytes(data[16:20], "big")  # the header's first number
        width = f' width="{round(pixels * _CSS_PIXELS / palette.STYLE["savefig.dpi"])}"'
    alt = html.escape(f"{part.title}. {part.caption}", quote=True)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return (
        f'{title}\n<figure>\n<img alt="{alt}"{width} src="{source}">\n'
        f"<figcaption>{html.escape(part.caption)}</figcaption>\n</figure>"
    )


def _table(title: str, table: tables.Table) -> str:
    head = "".join(f'<th scope="col">{_unbroken(cell)}</th>' for cell in table.head)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<h3>{html.escape(title)}</h3>\n<div class="wide"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n"
        f'<p class="note">{html.escape(table.note)}</p>'
    )


def _unbroken(cell: str) -> str:
    """A heading that breaks between words, but neither CIFAR-10 nor R = 50."""
    return html.escape(cell).replace("-", "\u2011").replace(" = ", "\u00a0=\u00a0")
