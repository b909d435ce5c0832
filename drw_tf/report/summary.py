"""A report of many runs: what stands in it, in which order, and its files."""

import pathlib
from collections.abc import Mapping, Sequence

from drw_tf.report import groups, pages, paper_numbers, pictures, tables


def write(
    out: pathlib.Path,
    title: str,
    settings: Sequence[groups.Setting],
    notes: Sequence[str],
    defaults: Mapping[str, object],
    draw: Sequence[str] = (),
    reference: str | None = None,
) -> list[pathlib.Path]:
    """Writes figures, report.md and report.html; returns the latter two's paths.

    Args:
        out: an existing folder.
        title: of both pages.
        settings: all runs.
        notes: lines about runs that were left out.
        defaults: see `groups.settings`.
        draw: see `pictures.chosen`.
        reference: see `tables.methods`.

    Raises:
        ValueError: no run has a method of `draw`, or the reference.
    """
    known = {each.method for one in settings for each in one.variants}
    unknown = [name for name in draw if name not in known]
    if unknown:
        raise ValueError(
            f"--draw must name methods of the runs, {sorted(known)}, got {unknown[0]}."
        )
    if reference is not None and not any(groups.find(one.variants, reference) for one in settings):
        raise ValueError(
            f"--reference must name a method of the runs, {sorted(known)}, got {reference}."
        )
    sections = [_overview(settings, notes)]
    sections += [_setting(one, out, draw, reference) for one in settings]
    sections.append(
        pages.Section(
            "Effective numbers and beta",
            [pictures.draw_terms(out), *pictures.draw_betas(settings, defaults, out)],
        )
    )
    sections.append(_paper(settings))
    written = [out / "report.md", out / "report.html"]
    written[0].write_text(pages.markdown(title, sections), encoding="utf-8")
    written[1].write_text(pages.page(title, sections, out), encoding="utf-8")
    return written


def _overview(settings: Sequence[groups.Setting], notes: Sequence[str]) -> pages.Section:
    """What runs there are, and where each of them comes from."""
    rows = []
    for setting in settings:
        runs = [record for one in setting.variants for record in one.records]
        # A record alone names the code of its last part.
        parts = [part for record in runs for part in record.get("made_by", [record])]
        commits = {_commit(part["git"]) for part in parts}
        versions = {part["versions"].get("tensorflow") or "-" for part in parts}
        # A judgement has the seconds of the training that it is of.
        trained = [record for record in runs if not groups.was_judged(record)]
        minutes = sum(record["seconds"] for record in trained) / 60
        rows.append(
            (
                setting.title,
                str(len(setting.variants)),
                str(len(trained)),
                str(len(runs) - len(trained)),
                f"{minutes:.0f}",
                ", ".join(sorted(versions)),
                ", ".join(sorted(commits)),
            )
        )
    head = ("setting", "methods", "trainings", "judgements", "minutes", "TensorFlow", "commits")
    note = (
        "Minutes of training, over all trainings. A judgement is that of a trained network as "
        "another method, or by another prior, and takes no training of its own. (changed): with "
        "files that differ from the commit."
    )
    return pages.Section("Runs", [("Settings", tables.Table(head, tuple(rows), note)), *notes])


def _commit(git: Mapping | None) -> str:
    """A commit's first digits, and whether files of the package differed from it."""
    if not git:
        return "-"
    return git["commit"][:9] + (" (changed)" if git["dirty"] else "")


def _setting(
    setting: groups.Setting, out: pathlib.Path, draw: Sequence[str], reference: str | None
) -> pages.Section:
    """Tables and pictures of one setting."""
    found = tables.methods(setting.variants, setting.window, reference)
    parts: list = [("Methods", found)] if found.rows else ["No run here was tested."]
    others = {
        "Pseudo-labels": tables.pseudo_labels(setting),
        "Confident pseudo-labels": tables.confident_labels(setting),
        "Calibration": tables.calibration(setting),
    }
    parts += [(title, table) for title, table in others.items() if table.rows]
    return pages.Section(setting.title, [*parts, *pictures.draw_setting(setting, out, draw)])


def _paper(settings: Sequence[groups.Setting]) -> pages.Section:
    """The paper's tables beside ours."""
    parts: list = []
    agreement = tables.agreement(settings)
    if agreement.rows:
        parts.append(("Order of the methods", agreement))
    else:
        parts.append("Orders of methods are compared from three common methods on.")
    for table, what in paper_numbers.TABLES.items():
        parts.append((f"Table {table}: {what}", tables.paper_table(table, settings)))
    return pages.Section("The paper's tables", parts)
