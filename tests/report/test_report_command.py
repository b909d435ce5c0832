"""From records in files to a report in a folder."""

import base64
import html.parser
import pathlib
import re

import numpy as np
import pytest

from drw_tf.report import __main__ as command
from drw_tf.report import groups, pages, pictures, record_file, summary, tables


class Page(html.parser.HTMLParser):
    """Collects what a page would load, its anchors, and whether its tags are closed in order."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.images, self.links, self.ids, self.loads = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        self.links += [attributes["href"]] if "href" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.loads += [tag] if tag in ("script", "link", "iframe", "object") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def write(folder, name, made):
    folder.mkdir(parents=True, exist_ok=True)
    record_file.write_record(folder / name, made)


@pytest.fixture(scope="module")
def report(make_record, tmp_path_factory):
    """(folder of a report of FixMatch and DRw, its records' folder)."""
    top = tmp_path_factory.mktemp("report")
    for method in ("fixmatch", "drw"):
        write(top / "runs" / method / "seed0", "record.json", make_record(method))
    flags = [f"--out={top / 'out'}", "--draw=drw", "--reference=drw"]
    command.main(["report", str(top / "runs"), *flags])
    return top / "out", top / "runs"


def test_page_holds_all_its_pictures_and_loads_nothing(report):
    out, _ = report
    text = (out / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert page.links == [f"#{name}" for name in page.ids]
    # Eleven of the setting, and Figure 3; Figure 4 needs other runs.
    assert len(page.images) == 12
    for image in page.images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(data)
        assert image["alt"]
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "url(" not in text
    assert "no method was run with two values of --beta" in text
    assert text.count("not run") >= 95


def test_a_report_may_take_the_place_of_an_earlier_one(report, monkeypatch):
    out, runs = report
    written = []
    monkeypatch.setattr(summary, "write", lambda folder, *rest: written.append(folder) or [])
    command.main(["report", str(runs), f"--out={out}", "--draw=drw", "--reference=drw"])
    assert written == [out]


def test_markdown_names_pictures_that_are_there_as_png_and_svg(report):
    out, _ = report
    text = (out / "report.md").read_text(encoding="utf-8")
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(linked) == 12
    for name in linked:
        assert (out / name).is_file()
        assert (out / name).with_suffix(".svg").is_file()
    assert "| DRw | 84.7 ± 0.41 | not run |" in text
    assert "Not drawn: no method was run with two values" in text
    assert "| gain over drw [95 %] |" in text
    assert "that is the weighted loss, beside FixMatch's without weights." in text
    assert "| method | largest / smallest | recall Many % |" in text
    for heading in ("Pseudo-labels", "Table 1", "Table 2", "Table 3", "Table 4", "Figure 5"):
        assert f"### {heading}" in text


@pytest.fixture
def undrawn(monkeypatch):
    """Reports of this test have no picture."""
    for draw in ("setting", "betas"):
        monkeypatch.setattr(pictures, f"draw_{draw}", lambda *args: [])
    monkeypatch.setattr(pictures, "draw_terms", lambda out: pictures.Picture("-", "", missing="-"))


def settings_table(runs, out):
    """Heading and first row of the table of settings in the report of these runs."""
    found, _ = groups.settings(runs, groups.DEFAULTS)
    page, _ = summary.write(out, "title", found, [], groups.DEFAULTS)
    head, _, row = page.read_text().split("### Settings")[1].split("\n\n")[1].splitlines()
    return head, row


@pytest.mark.usefixtures("undrawn")
def test_a_training_is_counted_once_however_often_it_was_judged(make_record, tmp_path):
    # 100 seconds each, 6.7 minutes in all; a judged record has those of its training.
    runs = [make_record(method, seed=seed) for method in ("fixmatch", "drw") for seed in (0, 1)]
    for method, words in (("drw_la", ["--as_method=drw_la"]), ("fixmatch_la", ["--flagfile=x"])):
        judged = {
            **make_record(method),
            "command_line": ["python", "-m", "drw_tf.evaluate", *words],
        }
        runs.append(judged)
    head, row = settings_table(runs, tmp_path)
    assert head.startswith("| setting | methods | trainings | judgements | minutes |")
    assert row.startswith("| digits, 200 steps | 4 | 4 | 2 | 7 |")


@pytest.mark.usefixtures("undrawn")
def test_the_code_of_every_part_of_a_run_is_named(make_record, tmp_path):
    def part(step, commit, dirty, version):
        git = None if commit is None else {"commit": commit * 40, "dirty": dirty}
        return {"from_step": step, "git": git, "versions": {"tensorflow": version}}

    runs = [make_record("drw", seed=0), make_record("drw", seed=1)]
    parts = [part(0, "a", True, "2.14.1"), part(50, None, False, "2.15.0")]
    parts.append(part(150, "b", False, "2.15.1"))
    runs[0] |= {"made_by": parts, "git": parts[-1]["git"], "versions": parts[-1]["versions"]}
    runs[1] |= {"git": {"commit": "b" * 40, "dirty": True}, "versions": {"tensorflow": "2.15.1"}}
    head, row = settings_table(runs, tmp_path)
    assert head.endswith("| TensorFlow | commits |")
    said = f"-, {'a' * 9} (changed), {'b' * 9}, {'b' * 9} (changed)"
    assert row.endswith(f"| 2.14.1, 2.15.0, 2.15.1 | {said} |")


def test_few_runs_are_printed_class_by_class_many_by_method(report, capsys, monkeypatch):
    out, runs = report
    monkeypatch.setattr("drw_tf.report.summary.write", lambda *args: [out / "report.md"])
    command.main(["report", str(runs), f"--out={out}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "recall in percent, averaged network, last evaluation"
    assert lines[1].split() == ["labeled", "drw", "seed", "0", "fixmatch", "seed", "0"]
    assert lines[-1] == f"wrote {out / 'report.md'}"
    monkeypatch.setattr(command, "_MAX_COLUMNS", 1)
    command.main(["report", str(runs), f"--out={out}"])
    printed = capsys.readouterr().out
    assert "| method | bACC % |" in printed
    assert "| gain over fixmatch [95 %] |" in printed
    command.main(["report", str(runs), f"--out={out}", "--reference=drw"])
    assert "| gain over drw [95 %] |" in capsys.readouterr().out


def test_records_are_found_at_any_depth_and_what_was_moved_aside_when_it_is_named(
    make_record, tmp_path
):
    aside = tmp_path / "before_x"
    write(aside / "drw", "record.json", make_record())
    assert command.record_paths([str(aside / "drw")]) == [aside / "drw" / "record.json"]
    kept = tmp_path / "results"
    write(kept / "digits", "drw_seed0.json", make_record())
    write(kept / "cifar10", "drw_seed0.json", make_record())
    write(kept / "before_1", "drw_seed0.json", make_record())
    expected = [kept / "cifar10" / "drw_seed0.json", kept / "digits" / "drw_seed0.json"]
    assert command.record_paths([str(kept)]) == expected


def test_runs_are_folders_files_or_folders_of_records(report, make_record, tmp_path):
    _, runs = report
    write(tmp_path / "kept", "drw_seed3.json", make_record(seed=3))
    write(tmp_path / "run", "record.json", make_record())
    write(tmp_path / "run" / "before_2026", "record.json", make_record())
    found = command.record_paths(
        [
            str(runs),
            str(runs / "drw" / "seed0"),
            str(tmp_path / "kept"),
            str(tmp_path / "run"),
            str(tmp_path / "run" / "record.json"),
        ]
    )
    assert found == [
        runs / "drw" / "seed0" / "record.json",
        runs / "fixmatch" / "seed0" / "record.json",
        tmp_path / "kept" / "drw_seed3.json",
        tmp_path / "run" / "record.json",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give at least one run"),
        (["{top}/gone"], "gone is neither a record nor a folder with one"),
        (["{top}/empty"], "empty is neither a record nor a folder with one"),
        (["{top}/bad.json"], r"bad\.json is not a record"),
        (["{runs}", "--draw=vat"], "--draw must name methods of the runs, .* got vat"),
        (["{runs}", "--draw="], "--draw must be at least one value"),
        (["{runs}", "--reference=vat"], "--reference must name a method of the runs, .* got vat"),
        (["{runs}", "--reference="], "--reference must name a method of the runs"),
        (["{runs}", "--nonsense=1"], "nonsense"),
    ],
)
def test_bad_input_is_refused_in_one_line(report, tmp_path, capsys, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{}")
    words = [word.format(top=tmp_path, runs=report[1]) for word in words]
    with pytest.raises(SystemExit) as caught:
        command.main(["report", *words, f"--out={tmp_path / 'out'}"])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error)
    assert "\n" not in error


def test_all_runs_are_reported_as_they_were_at_a_step(make_record, tmp_path, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(
        summary, "write", lambda out, title, settings, notes, *rest: told.extend(notes) or []
    )
    for seed in range(4):
        for method in ("fixmatch", "drw"):
            made = make_record(method, seed=seed)
            write(tmp_path / "runs", f"{method}{seed}.json", made)
    steps = [entry["step"] for entry in made["history"]]
    made["configuration"]["method"] = "drw_la"
    made["history"] = made["history"][-1:]  # as of a run that was judged later
    write(tmp_path / "runs", "judged.json", made)
    words = [str(tmp_path / "runs"), f"--out={tmp_path / 'out'}"]
    command.main(["report", *words, f"--step={steps[1]}"])
    # Balanced accuracy is the mean recall, and a ten thousandth more a step.
    recall = np.mean(made["last_metrics"]["ema"]["recall"])
    printed = capsys.readouterr().out
    assert f"{steps[1]} steps" in printed
    assert f"| drw | {100 * (recall + steps[1] / 10000):.1f} ± 0.0 |" in printed
    assert told == [
        f"Every run is reported as it was at step {steps[1]:,}, in the middle of its schedule.",
        "Left out, as they were not evaluated there, runs of drw_la (1).",
    ]
    assert "drw_la" not in printed
    with pytest.raises(SystemExit) as stop:
        command.main(["report", *words, "--step=7"])
    assert stop.value.code == 2
    named = ", ".join(map(str, steps))
    assert f"--step must be one at which a run was evaluated, {named}, got 7." in (
        capsys.readouterr().err
    )


def test_runs_that_were_never_tested_are_reported_all_the_same(
    make_record, tmp_path, capsys, monkeypatch
):
    def save(made, stem):
        pathlib.Path(stem).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(f"{stem}.svg").write_text("<svg/>")

    monkeypatch.setattr(pictures.figures, "save", save)
    run = make_record("drw")
    run["final"], run["last_metrics"] = {}, {}
    for entry in run["history"]:
        entry["test"] = {}
    write(tmp_path / "run", "record.json", run)
    command.main(["report", str(tmp_path / "run"), f"--out={tmp_path / 'out'}"])
    assert "trained without test pictures" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "No run here was tested." in text
    assert "Not drawn: no run here has an evaluation on test pictures." in text
    assert "pseudo_recall.png" in text


def test_names_of_users_are_text_and_not_markup(tmp_path):
    table = tables.Table(("<b>", "b"), (("<script>", "1"),), "a & b")
    missing = pictures.Picture("<i>", "", missing="<none>")
    page = pages.page("<t>", [pages.Section("<s>", ["<p>", ("<h>", table), missing])], tmp_path)
    for name in ("t", "s", "h", "b", "script", "i", "none"):
        assert f"&lt;{name}&gt;" in page
    assert "<script>" not in page
    assert "<none>" not in page


def test_headings_break_between_words_alone(tmp_path):
    table = tables.Table(("method", "CIFAR-10, R = 50: ours"), (("DRw", "-1"),), "")
    text = pages.page("report", [pages.Section("one", [("Table", table)])], tmp_path)
    assert '<th scope="col">CIFAR\u201110, R\u00a0=\u00a050: ours</th>' in text
    assert "<td>-1</td>" in text


def test_a_large_svg_gives_way_to_the_png_at_the_same_size(monkeypatch, tmp_path):
    picture = pictures.draw_terms(tmp_path)
    sections = [pages.Section("x", [picture])]
    assert 'src="data:image/svg+xml' in pages.page("t", sections, tmp_path)
    monkeypatch.setattr(pages, "_MAX_SVG", 10)
    # 6.4 inches at 96 CSS pixels.
    assert 'width="614" src="data:image/png;base64,' in pages.page("t", sections, tmp_path)
