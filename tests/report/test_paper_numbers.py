import pathlib
import re

import pytest

from drw_tf import config, recipes
from drw_tf.report import paper_numbers

FLAGS = pathlib.Path(__file__).parents[2] / "flags"


def test_tables_have_the_shape_of_the_paper():
    shapes = {
        table: (len(paper_numbers.rows(table)), len(paper_numbers.columns(table)))
        for table in paper_numbers.TABLES
    }
    # Table 4 has 5 variants, each with and without DARP.
    assert shapes == {1: (19, 5), 2: (3, 1), 3: (3, 3), 4: (10, 5)}
    for table in paper_numbers.TABLES:
        for row in paper_numbers.rows(table):
            assert list(row.numbers) == paper_numbers.columns(table)
            assert row.method in recipes.RECIPES


def test_the_run_of_each_rows_flagfile_has_the_setting_of_its_column(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for table in paper_numbers.TABLES:
        for row in paper_numbers.rows(table):
            for setting in row.numbers:
                path = FLAGS / "rows" / f"table{table}" / f"{row.method}_{setting}.flags"
                got = config.resolve(config.parse(["train", f"--flagfile={path}"]))
                assert paper_numbers.setting_of(got) == setting, path
                assert got.beta in (None, paper_numbers.SETTINGS[setting].beta), path


def test_the_batch_that_a_row_of_table_2_recommends_keeps_it_in_its_column():
    row = FLAGS / "rows" / "table2" / "drw_imagenet127.flags"
    (appended,) = re.findall(r"append --flagfile=(\S+) to the command", row.read_text())
    words = ["train", f"--flagfile={row}", f"--flagfile={FLAGS.parent / appended}"]
    got = config.resolve(config.parse(words))
    assert got.steps == 375_000
    assert paper_numbers.setting_of(got) == "imagenet127"
    smaller = config.resolve(config.parse([*words, "--batch_size=64"]))
    assert paper_numbers.setting_of(smaller) is None


@pytest.mark.parametrize(
    "change",
    ["--steps=5000", "--validation_per_class=5", "--unlabeled_order=reversed", "--image_size=64"],
)
def test_a_run_that_differs_in_data_or_length_has_none_of_the_papers_settings(change):
    words = ["train", "--dataset=cifar10", "--imbalance_ratio=100"]
    assert paper_numbers.setting_of(config.resolve(config.parse(words))) == "cifar10_r100"
    changed = config.resolve(config.parse([*words, change]))
    assert paper_numbers.setting_of(changed) is None
    same_data = change.startswith("--steps")
    assert paper_numbers.data_of(changed) == ("cifar10_r100" if same_data else None)


def test_numbers_of_methods_are_the_printed_ones_with_their_deviation():
    found = paper_numbers.of_methods("cifar10_r100")
    assert str(found["drw"]) == "79.3 ± 0.27"
    assert str(found["fixmatch_darp"]) == "75.5 ± 0.05"
    # Table 4's row without weights, NRw, has the numbers of FixMatch + DARP: so the other rows
    # are on that, and plain FixMatch with fixed weights has none.
    assert [str(found[f"frw{which}_darp"]) for which in ("l", "u", "lu")] == [
        "76.2",
        "75.8",
        "77.0",
    ]
    # What another row has already stands once; CReST was not run on CIFAR-100.
    assert not found.keys() & {"frwl", "frwu", "frwlu", "nrw", "nrw_darp", "drw_darp"}
    assert "fixmatch_crest" not in paper_numbers.of_methods("cifar100_r10")
