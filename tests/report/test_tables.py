import copy

import pytest

from drw_tf.report import groups, paper_numbers, tables


@pytest.fixture
def make_run(make_record):
    """A run whose metrics are all `value`, over the last evaluation and over the last 20."""
    cache = {}

    def make(method, seed, value, **settings):
        if not cache:
            cache["record"] = make_record()
        made = copy.deepcopy(cache["record"])
        made["configuration"] = {"method": method, "seed": seed, "steps": 200, **settings}
        made["steps"] = made["configuration"]["steps"]
        for metric in made["final"]["ema"].values():
            metric.update(last=value, mean_last_20=value + 0.01, evaluations=20)
        return made

    return make


def setting(runs):
    (found,), _ = groups.settings(runs, {})
    return found


def cell(table, method, column="CIFAR-10, R = 100: ours"):
    """What one of the paper's tables says of a method."""
    (row,) = (row for row in table.rows if row[0] == method)
    return row[table.head.index(column)]


def test_methods_stand_by_mean_with_the_paired_gain_over_fixmatch(make_run):
    runs = [make_run("fixmatch", seed, 0.8 + seed / 100) for seed in range(3)]
    # 1, 2 and 3 points above on the same seed: 2 +- 2.484 (see test_statistics).
    runs += [make_run("drw", seed, 0.81 + 2 * seed / 100) for seed in range(3)]
    runs.append(make_run("supervised", 0, 0.7))
    got = tables.methods(setting(runs).variants)
    assert got.head[:2] == ("method", "bACC %")
    assert got.head[6] == "gain over fixmatch [95 %]"
    assert [row[0] for row in got.rows] == ["drw", "fixmatch", "supervised"]
    assert got.rows[0][1] == "83.0 ± 2.0"
    assert [row[6] for row in got.rows] == ["+2.0 [-0.5, 4.5]", "", "-10.0"]
    assert [row[-2] for row in got.rows] == ["3", "3", "1"]
    assert got.markdown().splitlines()[1].count("---") == len(got.head)


def test_runs_without_test_pictures_are_in_no_table(make_run):
    untested = make_run("drw", 0, 0.5)
    untested["final"] = {}
    assert tables.methods(setting([untested]).variants).rows == ()


def test_the_papers_table_has_its_numbers_ours_and_what_was_not_run(make_run):
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    runs = [make_run("drw", seed, 0.77 + seed / 50, **flags) for seed in range(2)]
    runs += [make_run("drw", 0, 0.99, **{**flags, "steps": 10})]
    found, _ = groups.settings(runs, {})
    got = tables.paper_table(1, found)
    assert len(got.rows) == 19
    (row,) = (row for row in got.rows if row[0] == "DRw")
    assert "another base" not in got.note
    assert (
        "beside plain FixMatch its numbers are on another base." in tables.paper_table(4, []).note
    )
    # Means of the last 20: 78 and 80.
    assert dict(zip(got.head, row, strict=True)) == {
        "method": "DRw",
        "CIFAR-10, R = 50: paper": "84.7 ± 0.41",
        "CIFAR-10, R = 50: ours": "not run",
        "CIFAR-10, R = 100: paper": "79.3 ± 0.27",
        "CIFAR-10, R = 100: ours": "79.0 ± 1.4 (2)",
        "CIFAR-10, R = 150: paper": "74.1 ± 0.54",
        "CIFAR-10, R = 150: ours": "not run",
        "CIFAR-100, R = 10: paper": "61.8 ± 0.29",
        "CIFAR-100, R = 10: ours": "not run",
        "CIFAR-100, R = 20: paper": "57.1 ± 0.33",
        "CIFAR-100, R = 20: ours": "not run",
    }


def test_a_cell_of_ours_says_which_variant_it_is_where_there_are_several(make_run):
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    runs = [
        make_run("drw", 0, value, **flags, beta=beta) for value, beta in ((0.1, "0.9"), (0.7, ""))
    ]
    runs[1]["configuration"]["beta"] = "auto"
    found, _ = groups.settings(runs, {"beta": "auto"})
    got = tables.paper_table(1, found)
    assert cell(got, "DRw") == "71.0 (1; beta auto)"


def test_a_mean_of_fewer_than_twenty_is_not_reported(make_run):
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    trained = [make_run("fixmatch", 0, 0.6, **flags), make_run("drw", 0, 0.7, **flags)]
    short = make_run("saw", 0, 0.75, **flags)
    for metric in short["final"]["ema"].values():
        metric.update(evaluations=19, mean_last_20=0.75)
    for runs, drw, note in (
        (trained, "71.0 (1)", "evaluations of a run."),
        ([*trained, short], "70.0 (1)", "one at CIFAR-10, R = 100, as fewer are of saw)."),
    ):
        found, _ = groups.settings(runs, {})
        got = tables.paper_table(1, found)
        assert cell(got, "DRw") == drw
        assert note in got.note
        of_setting = tables.methods(found[0].variants, found[0].window).note
        assert ("(not the mean of the last 20, as fewer are of saw)" in of_setting) == (
            runs != trained
        )
    # Nobody expects that mean of a setting that is none of the paper.
    assert tables.methods(setting([make_run("drw_la", 0, 0.7)]).variants).note == (
        "Averaged network, last evaluation, mean ± standard deviation over seeds."
    )


def test_seeds_that_were_trained_have_the_last_evaluation_beside_those_that_were_judged(make_run):
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    runs = [make_run("drw", seed, 0.7, **flags) for seed in range(3)]
    adjusted = [make_run("drw_la", seed, 0.86, **flags) for seed in range(3)]
    for metric in adjusted[0]["final"]["ema"].values():  # trained, lower before its end
        metric.update(mean_last_20=0.8)
    for judged in adjusted[1:]:
        judged["command_line"] = ["python", "-m", "drw_tf.evaluate", "--as_method=drw_la"]
    (found,), _ = groups.settings([*runs, *adjusted], {})
    assert found.window == "mean_last_20"
    made = tables.methods(found.variants, found.window, "drw")
    (row,) = (row for row in made.rows if row[0] == "drw_la")
    assert row[1] == "86.0 ± 0.0"
    assert row[6].startswith("+16.0 ")
    said = "Of drw_la the last evaluation, as some seeds were judged and have no other, gains over"
    assert said in made.note
    assert "the one evaluation" not in made.note
    table = tables.paper_table(1, [found])
    assert cell(table, "DRw + LA") == "86.0 ± 0.0 (3; last evaluation)"


def test_a_short_last_stage_takes_the_mean_from_no_other_method(make_run):
    flags = paper_numbers.SETTINGS["imagenet127"].flags
    runs = [make_run("fixmatch", 0, 0.6, **flags), make_run("drw", 0, 0.7, **flags)]
    staged = make_run("fixmatch_crest_plus", 0, 0.75, **flags)
    staged["history"] = [{"step": step, "test": {"ema": {}}} for step in range(100)]
    for metric in staged["final"]["ema"].values():
        metric.update(evaluations=17)
    (found,), _ = groups.settings([*runs, staged], {})
    assert found.window == "mean_last_20"
    made = tables.methods(found.variants, found.window)
    # CReST+'s last one, and its gain over FixMatch's last, 60, beside means of 20.
    assert shown(made, "method", "bACC %", "gain over fixmatch [95 %]") == [
        ("fixmatch_crest_plus", "75.0", "+15.0"),
        ("drw", "71.0", "+10.0"),
        ("fixmatch", "61.0", ""),
    ]
    assert (
        "Of fixmatch_crest_plus the last evaluation, as fewer are of the last stage alone, gains "
        "over the last one of the reference." in made.note
    )
    table = tables.paper_table(2, [found])
    assert cell(table, "CReST+", "ImageNet127: ours") == "75.0 (1; last evaluation)"


def test_the_one_evaluation_of_what_was_judged_is_marked_beside_means_of_twenty(make_run):
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    runs = [make_run("fixmatch", 0, 0.6, **flags), make_run("drw", 0, 0.7, **flags)]
    judged = make_run("drw_la", 0, 0.75, **flags)
    judged["command_line"] = ["python", "-m", "drw_tf.evaluate", "--as_method=drw_la"]
    for metric in judged["final"]["ema"].values():
        metric.update(evaluations=1, mean_last_20=0.75)
    (found,), _ = groups.settings([*runs, judged], {})
    got = tables.paper_table(1, [found])
    assert cell(got, "DRw") == "71.0 (1)"
    assert cell(got, "DRw + LA") == "75.0 (1; last evaluation)"
    assert got.note.endswith("mean of the last 20 evaluations of a run, where not said otherwise.")
    methods = tables.methods(found.variants, found.window)
    # DRw's mean of the last 20 beside FixMatch's, one evaluation beside FixMatch's last.
    assert shown(methods, "method", "bACC %", "gain over fixmatch [95 %]") == [
        ("drw_la", "75.0", "+15.0"),
        ("drw", "71.0", "+10.0"),
        ("fixmatch", "61.0", ""),
    ]
    said = "Of drw_la the one evaluation there is, gains over the last one of the reference."
    assert said in methods.note
    # Where all are of one evaluation nothing is to be said.
    assert "the one evaluation" not in tables.methods(found.variants, "last").note


def test_both_lengths_of_imagenet_have_a_column_in_the_papers_table(make_run):
    imagenet = paper_numbers.SETTINGS["imagenet127"]
    long = {**imagenet.flags, **imagenet.in_place}
    runs = [make_run("drw", 0, 0.60, **imagenet.flags), make_run("drw", 0, 0.62, **long)]
    found, _ = groups.settings(runs, {})
    got = tables.paper_table(2, found)
    (row,) = (row for row in got.rows if row[0] == "DRw")
    shown = dict(zip(got.head, row, strict=True))
    assert shown["ImageNet127: ours, 500,000 steps"] == "61.0 (1)"
    assert shown["ImageNet127: ours, 375,000 steps"] == "63.0 (1)"
    assert len(shown) == 4


def test_agreement_compares_a_setting_of_the_paper_with_itself_and_others_with_all(make_run):
    # The paper, CIFAR-10, R = 100: supervised 58.8, fixmatch 71.5, drw 79.3.
    order = {"supervised": 0.5, "fixmatch": 0.6, "drw": 0.7}
    flags = paper_numbers.SETTINGS["cifar10_r100"].flags
    same = setting([make_run(method, 0, value, **flags) for method, value in order.items()])
    turned = setting([make_run(method, 0, -value) for method, value in order.items()])
    got = tables.agreement([same, turned]).rows
    assert got[0] == ("CIFAR-10, R = 100", "CIFAR-10, R = 100", "+1.00", "3", "-", "0")
    assert [row[2] for row in got[1:]] == ["-1.00"] * 5
    # ImageNet127 has two of the three methods only.
    assert "ImageNet127" not in [row[1] for row in got]


@pytest.mark.parametrize(
    ("supervised_seeds", "seeds", "correlation"),
    [
        # Seed 0: 30, 40, 45. Over all seeds it would be 50, 60, 45.
        ([0, 1], "0", "+1.00"),
        # No seed that all have: 70, 60, 45.
        ([1], "unequal", "-1.00"),
    ],
)
def test_agreement_is_on_the_seeds_that_all_methods_have(
    make_run, supervised_seeds, seeds, correlation
):
    runs = [make_run("fixmatch", 0, 0.4), make_run("fixmatch", 1, 0.8), make_run("drw", 0, 0.45)]
    runs += [make_run("supervised", seed, (0.3, 0.7)[seed]) for seed in supervised_seeds]
    row = next(row for row in tables.agreement([setting(runs)]).rows if "R = 100" in row[1])
    assert (row[2], row[5]) == (correlation, seeds)


def test_agreement_says_how_far_it_hangs_on_one_method(make_run):
    # The paper, R = 100: supervised 58.8, fixmatch 71.5, drw 79.3, drw_la 82.4. Ours has drw_la
    # last: -.2, 1 without it, -.5 without any other (see test_statistics). FRwL of plain
    # FixMatch has no number in the paper.
    order = {"supervised": 0.5, "fixmatch": 0.6, "drw": 0.7, "drw_la": 0.4, "frwl": 0.9}
    runs = [make_run(method, 0, value) for method, value in order.items()]
    row = next(row for row in tables.agreement([setting(runs)]).rows if "R = 100" in row[1])
    assert row[2:] == ("-0.20", "4", "-0.50 to +1.00", "0")


def shown(table, *columns):
    """The columns of a table by their titles' beginnings."""
    places = [[title.startswith(one) for title in table.head].index(True) for one in columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_rows_of_other_seeds_are_not_in_one_order(make_run):
    # On seed 0 alone drw_la is first; on both seeds drw is above fixmatch.
    found = {
        "fixmatch": (0.4, 0.8),
        "supervised": (0.3, 0.6),
        "drw": (0.41, 0.82),
        "frwl": (0.42,),
        "drw_la": (0.5,),
    }
    runs = [
        make_run(method, seed, value)
        for method, by_seed in found.items()
        for seed, value in enumerate(by_seed)
    ]
    got = tables.methods(setting(runs).variants)
    # t_{1, .975} = 12.7062 (printed tables): 1 and 2 points, 1.5 +- 12.7062 * .7071 / 1.4142.
    assert shown(got, "method", "bACC", "gain", "seeds") == [
        ("drw", "61.5 ± 29.0", "+1.5 [-4.9, 7.9]", "2"),
        ("fixmatch", "60.0 ± 28.3", "", "2"),
        ("supervised", "45.0 ± 21.2", "-15.0 [-78.5, 48.5]", "2"),
        ("drw_la", "50.0", "+10.0", "1"),
        ("frwl", "42.0", "+2.0", "1"),
    ]
    assert got.note.endswith("order: first seeds 0, 1 (3 rows), then seed 0 (2 rows).")


def test_further_seeds_of_few_rows_do_not_enter_the_comparison(make_run):
    # Gains of drw: 6, 4 and on seed 2 alone -4, so that frwl is below it on seeds 0 and 1 only.
    found = {
        "fixmatch": (0.4, 0.8, 0.6),
        "drw": (0.46, 0.84, 0.56),
        "frwl": (0.43, 0.83),
        "frwu": (0.4, 0.79),
        "saw": (0.37, 0.77),
    }
    runs = [
        make_run(method, seed, value)
        for method, by_seed in found.items()
        for seed, value in enumerate(by_seed)
    ]
    got = tables.methods(setting(runs).variants)
    # 6, 4: 5 +- 12.7062 * 1.4142 / 1.4142. 6, 4, -4: 2 +- 4.302653 * 5.291503 / 1.732051.
    assert shown(got, "method", "bACC", "gain", "seeds")[:3] == [
        ("drw", "65.0 ± 26.9", "+5.0 [-7.7, 17.7] (3 seeds: +2.0 [-11.1, 15.1])", "2"),
        ("frwl", "63.0 ± 28.3", "+3.0 [3.0, 3.0]", "2"),
        ("fixmatch", "60.0 ± 28.3", "", "2"),
    ]
    assert "Rows of the same seeds" not in got.note
    assert got.note.endswith(
        "Further seeds of drw; fixmatch are left out, but for a gain in parentheses."
    )


def test_one_common_seed_leaves_no_further_ones_out(make_run):
    runs = [make_run("drw", seed, 0.5 + seed / 10) for seed in range(2)]
    runs += [make_run(method, 0, 0.4) for method in ("fixmatch", "frwl", "frwu")]
    got = tables.methods(setting(runs).variants)
    assert shown(got, "method", "bACC", "gain", "seeds")[0] == ("drw", "55.0 ± 7.1", "+10.0", "2")


def test_what_shares_no_seed_with_the_reference_stands_last(make_run):
    runs = [make_run("fixmatch", 0, 0.5), make_run("drw", 1, 0.9), make_run("frwl", 0, 0.4)]
    got = tables.methods(setting(runs).variants)
    assert shown(got, "method", "bACC", "gain") == [
        ("fixmatch", "50.0", ""),
        ("frwl", "40.0", "-10.0"),
        ("drw", "90.0", "-"),
    ]
    assert got.note.endswith("first seed 0 (2 rows), then seeds of their own (1 row).")


def test_calibration_is_that_of_the_last_evaluation(make_run):
    runs = [make_run("drw", seed, 0.5) for seed in range(2)]
    runs[0]["last_metrics"]["ema"]["ece"] = 0.07
    assert tables.calibration(setting(runs)).rows == (("drw", "6.0 ± 1.4", "2"),)


def test_the_papers_number_stands_beside_the_variant_that_it_has(make_run):
    flags = {**paper_numbers.SETTINGS["cifar10_r100"].flags, "steps": 200}
    runs = [make_run("drw", seed, 0.7, **flags, beta="auto") for seed in range(2)]
    runs += [make_run("drw", 0, 0.9, **flags, beta="0.9")]
    found, _ = groups.settings(runs, {"beta": "auto"})
    got = tables.methods(found[0].variants)
    assert shown(got, "method", "the paper") == [
        ("drw, beta auto", "79.3 ± 0.27"),
        ("drw, beta 0.9", "-"),
    ]


def test_gain_is_over_the_method_that_was_asked_for(make_run):
    runs = [make_run("fixmatch", seed, 0.5) for seed in range(3)]
    runs += [make_run("drw", seed, 0.5 + (seed + 1) / 100) for seed in range(3)]
    got = tables.methods(setting(runs).variants, reference="drw")
    assert got.head[6] == "gain over drw [95 %]"
    # -1, -2, -3: 2 +- 2.484 (see test_statistics).
    assert [row[6] for row in got.rows] == ["", "-2.0 [-4.5, 0.5]"]


def test_gain_is_over_the_variant_with_most_seeds_or_the_one_named(make_run):
    runs = [make_run("drw", seed, 0.5, beta=0.9) for seed in range(2)]
    runs += [make_run("drw", 0, 0.6, beta=0.99), make_run("fixmatch", 0, 0.4)]
    (found,), _ = groups.settings(runs, {"beta": None})
    got = tables.methods(found.variants, reference="drw")
    assert got.head[6] == "gain over drw, beta 0.9 [95 %]"
    got = tables.methods(found.variants, reference="drw, beta 0.99")
    assert dict((row[0], row[6]) for row in got.rows) == {
        "drw, beta 0.99": "",
        "drw, beta 0.9": "-10.0",
        "fixmatch": "-20.0",
    }


def test_what_is_judged_with_an_adjustment_shows_its_accuracy_without(make_run):
    runs = [make_run("fixmatch", 0, 0.5), make_run("fixmatch_la", 0, 0.6)]
    assert "without adjustment, bACC %" not in tables.methods(setting(runs).variants).head
    runs[1]["final"]["ema_unadjusted"] = {"balanced_accuracy": {"last": 0.45}}
    got = tables.methods(setting(runs).variants)
    column = got.head.index("without adjustment, bACC %")
    assert [row[column] for row in got.rows] == ["45.0", "-"]


def test_pseudo_labels_are_those_of_the_last_epoch(make_run):
    runs = [make_run("drw", seed, 0.5) for seed in range(2)]
    runs[1]["history"][-1]["pseudo_imbalance_ratio"] = 1234.0
    # Judged as another method: the same pseudo-labels once more.
    judged = make_run("drw_la", 0, 0.5)
    judged["history"] = judged["history"][-1:]
    plain = make_run("supervised", 0, 0.5)
    for entry in plain["history"]:
        del entry["pseudo_imbalance_ratio"]
    got = tables.pseudo_labels(setting([*runs, judged, plain]))
    assert "over the whole pool, labeled pictures included" in got.note
    assert "over its unlabeled pictures alone" in got.note
    # At step 200 the first has 5 + 200 / 50. Recall of class c is (c + 1) / 4, precision .5 but
    # of class 1, one of the two that are Medium, which has none.
    assert [dict(zip(got.head, row, strict=True)) for row in got.rows] == [
        {
            "method": "drw",
            "largest / smallest": "622 ± 866",
            "recall Many %": "25.0 ± 0.0",
            "recall Medium %": "62.5 ± 0.0",
            "recall Few %": "100.0 ± 0.0",
            "precision Many %": "50.0 ± 0.0",
            "precision Medium %": "-",
            "precision Few %": "50.0 ± 0.0",
            "seeds": "2",
        }
    ]
    for entry in runs[0]["history"]:
        entry["pseudo_precision"] = [0.5, 0.5, 0.5, 0.5]
    # Of one seed it is known, which is not the mean of both.
    assert tables.pseudo_labels(setting(runs)).rows == got.rows


def test_a_class_without_a_pseudo_label_gives_a_ratio_no_upper_bound(make_run):
    runs = [make_run("drw", 0, 0.5), make_run("drw", 1, 0.5), make_run("fixmatch", 0, 0.5)]
    runs[1]["history"][-1]["pseudo_numbers"] = [9.0, 4.0, 2.0, 1.0]
    # Rows of most seeds first, whatever their ratio.
    runs[2]["history"][-1]["pseudo_imbalance_ratio"] = 1.5
    found = [row[:2] for row in tables.pseudo_labels(setting(runs)).rows]
    assert found == [("drw", "≥ 9 ± 0"), ("fixmatch", "2")]


def test_confident_labels_are_those_of_the_last_epoch(make_run):
    runs = [make_run("fixmatch", 0, 0.5), make_run("drw", 0, 0.5), make_run("mixmatch", 0, 0.5)]
    runs[1]["history"][-1]["train"]["mask_rate"] = 0.5
    for entry in runs[2]["history"]:  # which has no threshold
        del entry["confident_rate"], entry["confident_precision"], entry["confident_recall"]
    got = tables.confident_labels(setting(runs))
    # Recall of class c is (c + 1) / 8: 1/8, the mean of 2/8 and 3/8, 4/8.
    shares = ("12.5", "31.2", "50.0", "75.0", "75.0", "75.0")
    assert got.rows == (("drw", "50.0", *shares, "1"), ("fixmatch", "75.0", *shares, "1"))
    assert got.head[1:3] == ("confident %", "recall Many %")


def test_pseudo_labels_of_pictures_without_known_classes_are_counted_alone(make_run):
    runs = [make_run("drw", 0, 0.5), make_run("fixmatch", 0, 0.5)]
    for entry in (entry for run in runs for entry in run["history"]):
        del entry["pseudo_recall"], entry["pseudo_precision"]
    runs[0]["history"][-1]["pseudo_imbalance_ratio"] = 1234.0
    assert tables.pseudo_labels(setting(runs)).rows == (
        ("fixmatch", "9", *["-"] * 6, "1"),
        ("drw", "1,234", *["-"] * 6, "1"),
    )


def test_recalls_of_the_classes_stand_in_columns(make_run):
    got = tables.recalls([make_run("drw", 0, 0.5), make_run("drw", 1, 0.5)], ["one", "two"])
    lines = got.splitlines()
    assert lines[1].split() == ["labeled", "one", "two"]
    # Class 1 of 4: recall 2 / 8.
    assert lines[3].split() == ["class", "1", "30", "25.0", "25.0"]
    assert lines[-1].split() == ["GM", "25.0", "25.0"]
    assert len({len(line) for line in lines[1:]}) == 1
