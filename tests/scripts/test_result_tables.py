"""The pages' numbers are those of the records."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def script(load):
    return load("result_tables")


@pytest.fixture(params=["README.md", "docs/results.md"])
def page(request):
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_every_page_with_such_a_command_is_looked_at(script):
    pages = {path for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
    with_results = {path for path in pages if "drw_tf.report results/" in path.read_text()}
    assert with_results == {*script.PAGES}


def test_every_table_of_results_is_what_its_command_makes(script, page):
    assert script.rewritten(page) == page


def test_every_decimal_number_beside_them_is_in_a_table(script, page):
    assert list(script.untold_numbers(page)) == []


TEXT = """## One
```
python -m drw_tf.report results/digits --out=report
```

| method | bACC % | of an older run |
| --- | --- | --- |
| drw | 99.9 | - |

| other | table |
| --- | --- |
| drw | 99.9 |

{prose}

## Two
No results here: 12.34.
"""


def test_a_table_is_written_anew_and_what_is_none_of_results_is_left(script):
    got = script.rewritten(TEXT)
    assert "of an older run" not in got
    assert "| gain over fixmatch [95 %] |" in got
    assert "\n| supervised | " in got
    assert got.endswith(TEXT.partition("| drw | 99.9 | - |\n")[2])
    assert script.rewritten(got) == got


@pytest.mark.parametrize(
    ("prose", "untold"),
    [
        ("DRw gains 98.76 points.", "98.76 in: ...DRw gains 98.76 points."),
        ("It was +98.76, [98.76, 5].", "+98.76 in: ...It was +98.76, [98.76, 5]."),
        # A gain there is; as a number it stands there, as a loss it does not.
        ("It gains 6.0, or +6.0.", None),
        ("It loses, -6.0.", "-6.0 in: ...It loses, -6.0."),
        ("`--beta=0.123` of version 1.2.3, in a `98.76`", None),
    ],
)
def test_a_number_that_no_table_has_is_named(script, prose, untold):
    found = list(script.untold_numbers(TEXT.format(prose=prose)))
    assert found[:1] == ([untold] if untold else [])


def test_a_table_that_no_report_makes_is_refused(script):
    text = TEXT.replace("| method | bACC % |", "| our runs | the paper |")
    assert "| our runs | the paper | rank" in script.rewritten(text)
    with pytest.raises(script.report.configuration.ConfigError, match="neither a record nor"):
        script.rewritten(text.replace("results/digits", "results/gone"))
