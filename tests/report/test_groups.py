import pytest

from drw_tf.report import groups

DEFAULTS = {"beta": "auto", "threshold": None, "steps": None, "crop": "shift"}


def names(setting):
    return [(one.name, len(one.records)) for one in setting.variants]


def test_runs_that_differ_in_the_seed_alone_are_one_variant(make_record):
    runs = [make_record("drw", seed=2), make_record("fixmatch", seed=0), make_record("drw", seed=1)]
    (found,), dropped = groups.settings(runs, DEFAULTS)
    assert names(found) == [("drw", 2), ("fixmatch", 1)]
    assert [one["configuration"]["seed"] for one in found.variants[0].records] == [1, 2]
    assert dropped == []


def test_variants_of_a_method_are_named_by_the_flags_that_differ(make_record):
    runs = [make_record(beta=beta, threshold=0.95) for beta in ("auto", "0.9")]
    runs.append(make_record("frwl", beta="0.9"))
    (found,), _ = groups.settings(runs, DEFAULTS)
    assert names(found) == [("drw, beta auto", 1), ("drw, beta 0.9", 1), ("frwl", 1)]


def test_a_default_that_depends_on_other_flags_is_called_so(make_record):
    runs = [make_record(), make_record(threshold=0.8)]
    (found,), _ = groups.settings(runs, DEFAULTS)
    assert names(found) == [("drw, threshold default", 1), ("drw, threshold 0.8", 1)]


def test_a_run_older_than_a_flag_did_what_is_its_default(make_record):
    (found,), _ = groups.settings([make_record(seed=0), make_record(seed=1, beta="auto")], DEFAULTS)
    assert names(found) == [("drw", 2)]


def test_a_default_of_the_recipe_is_that_of_a_run_whose_method_did_not_read_the_flag_yet(
    make_record,
):
    defaults = {**DEFAULTS, "reweight_start": None}
    runs = [make_record("frwu", seed=0, reweight_start=None)]
    runs.append(make_record("frwu", seed=1, reweight_start=0.0))
    (found,), _ = groups.settings(runs, defaults)
    assert names(found) == [("frwu", 2)]
    runs.append(make_record("frwu", reweight_start=0.3))
    (found,), _ = groups.settings(runs, defaults)
    assert names(found) == [("frwu, reweight_start 0.0", 2), ("frwu, reweight_start 0.3", 1)]
    assert found.variant("frwu").specialty == "reweight_start 0.0"


def test_a_seed_that_is_given_twice_is_counted_once(make_record):
    (found,), dropped = groups.settings([make_record(), make_record()], DEFAULTS)
    assert names(found) == [("drw", 1)]
    assert dropped == ["drw, seed 0: given more than once, the first is used"]


def test_other_data_lengths_and_classes_are_other_settings(make_record):
    base = {"dataset": "digits", "steps": 200, "imbalance_ratio": 20.0}
    runs = [
        make_record(**base),
        make_record(**base | {"imbalance_ratio": 50.0}),
        make_record(**base | {"steps": 100}),
        make_record(**base, num_classes=3),
        # As long in plan, and stopped earlier.
        make_record(**base, done=150),
    ]
    found, _ = groups.settings(runs, DEFAULTS)
    assert [one.title for one in found] == [
        "digits, R = 20, 200 steps (1)",
        "digits, R = 50, 200 steps",
        "digits, R = 20, 100 steps",
        "digits, R = 20, 200 steps (4)",
        "digits, R = 20, 150 steps",
    ]
    assert {one.window for one in found} == {"last"}


@pytest.mark.parametrize(
    ("change", "tail"),
    [
        ({}, ""),
        ({"unlabeled_order": "same", "unlabeled_imbalance_ratio": 100.0}, ""),
        ({"unlabeled_imbalance_ratio": 150.0}, ", unlabeled R = 150"),
        (
            {"unlabeled_order": "reversed", "unlabeled_imbalance_ratio": 100.0},
            ", unlabeled reversed",
        ),
        (
            {"unlabeled_order": "reversed", "unlabeled_imbalance_ratio": 50.0},
            ", unlabeled reversed R = 50",
        ),
        # Which older records give a ratio, newer ones none.
        ({"unlabeled_order": "uniform", "unlabeled_imbalance_ratio": 1.0}, ", unlabeled uniform"),
        ({"unlabeled_order": "uniform", "unlabeled_imbalance_ratio": None}, ", unlabeled uniform"),
    ],
)
def test_a_title_says_which_tail_the_unlabeled_pictures_have(make_record, change, tail):
    run = make_record(imbalance_ratio=100.0, **change)
    (found,), _ = groups.settings([run], DEFAULTS)
    assert found.title == f"digits, R = 100{tail}, 200 steps"


def test_equal_titles_go_on_with_the_flags_in_which_their_settings_differ(make_record):
    base = {"imbalance_ratio": 20.0, "model": "small_resnet"}
    runs = [
        make_record(**base, protocol="modern"),
        make_record(**base, protocol="darp"),
        make_record(**base, protocol="darp", validation_per_class=8),
        # No flag tells this one from the first.
        make_record(**base, protocol="modern", num_classes=3),
        # Its title is its own.
        make_record(**base, protocol="modern", done=150),
    ]
    found, _ = groups.settings(runs, DEFAULTS)
    assert [one.title for one in found] == [
        "digits, R = 20, 200 steps, validation_per_class default, protocol modern (1)",
        "digits, R = 20, 200 steps, validation_per_class default, protocol darp",
        "digits, R = 20, 200 steps, validation_per_class 8, protocol darp",
        "digits, R = 20, 200 steps, validation_per_class default, protocol modern (4)",
        "digits, R = 20, 150 steps",
    ]


def test_own_pictures_are_the_same_only_with_the_same_split(make_record):
    base = {"dataset": "folder", "steps": 200, "labeled_dir": "pictures"}
    runs = [make_record("drw", **base), make_record("fixmatch", **base), make_record("nrw", **base)]
    runs[1]["dataset"] = {**runs[1]["dataset"], "split_checksum": "fedcba9876543210"}
    runs[2]["dataset"] = {**runs[2]["dataset"], "test_counts": [1, 1, 1, 1]}
    assert len(groups.settings(runs, DEFAULTS)[0]) == 3
    for run in runs[:2]:  # of other data each seed has a split of its own
        run["configuration"] = {**run["configuration"], "labeled_dir": None}
    assert groups.is_of_same_data(runs[0], runs[1])


@pytest.mark.parametrize("which", ["training_checksum", "test_checksum"])
def test_own_pictures_are_the_same_only_with_the_same_files(make_record, which):
    base = {"dataset": "folder", "steps": 200, "labeled_dir": "pictures"}
    runs = [make_record(method, **base) for method in ("drw", "fixmatch", "nrw", "frwl")]
    for run, checksum in zip(runs, ("0" * 16, "1" * 16, "0" * 16, None), strict=True):
        run["dataset"] = {**run["dataset"], which: checksum}
    found, _ = groups.settings(runs, DEFAULTS)
    # What an older record does not say is no difference.
    methods = [[variant.method for variant in one.variants] for one in found]
    assert methods == [["drw", "nrw", "frwl"], ["fixmatch"]]


def test_the_variant_with_the_fewest_flags_stands_for_its_method(make_record):
    runs = [make_record(beta="0.9", seed=seed) for seed in (0, 1)] + [make_record()]
    (found,), _ = groups.settings(runs, DEFAULTS)
    assert found.variant("drw").name == "drw, beta auto"
    assert found.variant("drw").specialty == "beta auto"
    assert groups.find(found.variants, "drw, beta 0.9").specialty == "beta 0.9"
    runs += [make_record(threshold=threshold, seed=5) for threshold in (0.8, 0.9)]
    (found,), _ = groups.settings(runs[:2] + runs[3:], DEFAULTS)  # one flag each, most seeds
    assert len(found.variant("drw").records) == 2
    (alone,), _ = groups.settings(runs[:2], DEFAULTS)
    assert alone.variant("drw").specialty == ""


def test_in_a_setting_of_the_paper_row_files_stand_for_a_method_as_defaults_do(make_record):
    from drw_tf.report import paper_numbers

    flags = dict(paper_numbers.SETTINGS["cifar10_r100"].flags)
    rows = {"beta": "0.995", "randaugment_order": "drawn"}

    def chosen(first, second, **other):
        given = {**flags, "reweight_start": 0.4, **other}
        runs = [make_record(**given, **first)]
        runs += [make_record(**given, **second, seed=seed) for seed in range(3)]
        (found,), _ = groups.settings(runs, groups.DEFAULTS)
        return found.variant("drw").specialty

    usual = {"beta": "auto", "randaugment_order": "composed"}
    assert chosen(usual, rows) == "beta 0.995, randaugment_order drawn"
    assert chosen(rows, usual) == "beta auto, randaugment_order composed"
    # Another beta is a variant, whatever its number of seeds.
    assert chosen(usual, {**rows, "beta": "0.9"}) == "beta auto, randaugment_order composed"
    assert chosen(rows, {**usual, "beta": "0.9"}) == "beta 0.995, randaugment_order drawn"
    # Elsewhere the defaults stand for the method.
    assert chosen(usual, rows, steps=200) == "beta auto, randaugment_order composed"


def test_a_part_of_a_run_in_a_setting_of_the_paper_is_not_in_it(make_record):
    from drw_tf.report import paper_numbers

    flags = dict(paper_numbers.SETTINGS["cifar10_r100"].flags)
    part = make_record(**flags, done=200)
    assert groups.paper_of(part) is None
    assert groups.paper_of({**part, "steps": flags["steps"]}) == "cifar10_r100"


def test_a_setting_of_the_paper_reports_the_mean_of_the_last_twenty(make_record):
    from drw_tf.report import paper_numbers

    flags = paper_numbers.SETTINGS["cifar10_r50"].flags
    for evaluations, window in ((20, "mean_last_20"), (19, "last")):
        run = make_record(evaluations=evaluations, **flags)
        run["steps"] = flags["steps"]
        (found,), _ = groups.settings([run], DEFAULTS)
        assert (found.paper, found.window) == ("cifar10_r50", window)
        assert found.title == "CIFAR-10, R = 50"


def test_another_network_is_another_setting_and_another_batch_is_named(make_record):
    from drw_tf.report import paper_numbers

    flags = dict(paper_numbers.SETTINGS["cifar10_r100"].flags)
    runs = [
        make_record(method, **{**flags, "batch_size": batch, "model": model, "steps": 200})
        for method, batch, model in (
            ("fixmatch", 64, "wide_resnet_28_2"),
            ("drw", 64, "wide_resnet_28_2"),
            ("ldam_drw", 128, "wide_resnet_28_2"),
            ("drw", 64, "wide_resnet_10_1"),
        )
    ]
    found, _ = groups.settings(runs, groups.DEFAULTS)
    names = [[variant.name for variant in one.variants] for one in found]
    assert names == [["fixmatch", "drw", "ldam_drw, batch_size 128"], ["drw"]]
    small = {**flags, "model": "wide_resnet_10_1"}
    assert paper_numbers.setting_of(flags) == "cifar10_r100"
    assert paper_numbers.setting_of(small) is None
    assert paper_numbers.data_of(small) == "cifar10_r100"


def test_a_value_that_is_not_the_usual_one_of_a_setting_is_named(make_record):
    usual = {"dataset": "digits", "protocol": "modern", "threshold": 0.95, "learning_rate": 0.03}
    runs = [
        make_record("drw", **{**usual, "learning_rate": 1.0}),
        # Without a threshold of its own a method is not counted, nor what a recipe has of its own.
        make_record("supervised", **{**usual, "threshold": None}),
        make_record("fixmatch_cdmad", **{**usual, "threshold": 0.0}),
        *(make_record("drw_cdmad", **{**usual, "threshold": 0.0, "seed": seed}) for seed in (0, 1)),
        make_record("fixmatch", **usual),
    ]
    (found,), _ = groups.settings(runs, groups.DEFAULTS)
    assert [one.name for one in found.variants] == [
        "drw, learning_rate 1.0",
        *("supervised", "fixmatch_cdmad", "drw_cdmad", "fixmatch"),
    ]
    assert found.variant("drw").specialty == "learning_rate 1.0"
    # What a recipe has of its own is named where a run has another one.
    runs[2]["configuration"]["threshold"] = 0.95
    (found,), _ = groups.settings(runs, groups.DEFAULTS)
    assert found.variant("fixmatch_cdmad").name == "fixmatch_cdmad, threshold 0.95"


def test_of_two_values_as_common_that_of_the_protocol_is_usual(make_record):
    base = {"dataset": "digits", "protocol": "modern"}
    runs = [make_record("drw", **base, optimizer="adam")]
    runs.append(make_record("fixmatch", **base, optimizer="sgd"))
    # A protocol that was typed goes before the data set's choice, which is 3,000 steps of .3.
    other = {"dataset": "digits", "protocol": "darp", "steps": 300}
    runs += [make_record("drw", **other, reweight_start=0.3, optimizer="adam")]
    runs += [make_record("saw", **other, reweight_start=0.0, optimizer="adam")]
    runs += [make_record("drw_la", **other, reweight_start=0.4, optimizer="adam")]
    found, _ = groups.settings(runs, groups.DEFAULTS)
    names = [[variant.name for variant in one.variants] for one in found]
    assert names == [
        ["drw, optimizer adam", "fixmatch"],
        ["drw, reweight_start 0.3", "saw", "drw_la"],
    ]


def test_beside_the_papers_numbers_a_value_is_named_that_is_not_of_the_protocol(make_record):
    from drw_tf.report import paper_numbers

    flags = {**paper_numbers.SETTINGS["cifar10_r100"].flags, "optimizer": "adam"}
    for change, name in (
        ({"learning_rate": 0.002, "beta": "auto"}, "drw"),
        # Row files say what auto is, and let strong operations come as drawn.
        ({"learning_rate": 0.002, "beta": "0.995", "randaugment_order": "drawn"}, "drw"),
        ({"learning_rate": 1.0, "beta": "0.995"}, "drw, learning_rate 1.0"),
        ({"optimizer": "sgd", "beta": "0.9"}, "drw, optimizer sgd, beta 0.9"),
    ):
        run = make_record("drw", **{**flags, "reweight_start": 0.4, **change})
        (found,), _ = groups.settings([run], groups.DEFAULTS)
        assert (found.paper, found.variants[0].name) == ("cifar10_r100", name)


def test_what_a_longer_batch_needs_is_no_word_beside_the_papers_imagenet(make_record):
    from drw_tf.report import paper_numbers

    imagenet = paper_numbers.SETTINGS["imagenet127"]
    flags = {**imagenet.flags, **imagenet.in_place, "warmup_steps": 6250, "reweight_start": 0.4}
    (found,), _ = groups.settings([make_record("drw", **flags)], groups.DEFAULTS)
    assert (found.paper, found.variants[0].name) == ("imagenet127", "drw")


def test_runs_on_other_numbers_of_replicas_are_not_put_together(make_record):
    runs = [make_record(seed=seed) for seed in range(3)]
    for run, replicas in zip(runs, (1, 8, 8), strict=True):
        run["machine"] = {**run["machine"], "replicas": replicas}
    (found,), _ = groups.settings(runs, groups.DEFAULTS)
    assert names(found) == [("drw, replicas 1", 1), ("drw, replicas 8", 2)]
    (alone,), _ = groups.settings(runs[1:], groups.DEFAULTS)
    assert names(alone) == [("drw", 2)]
    # Half of one run on one replica.
    parts = [{"from_step": step, "replicas": one} for step, one in ((0, 8), (5, 8), (9, 1))]
    mixed = {**runs[0], "made_by": parts}
    (found,), _ = groups.settings([mixed, *runs], groups.DEFAULTS)
    assert ("drw, replicas 8, then 1", 1) in names(found)
    assert len(found.variants) == 3
    for run in runs:  # then a replica's share of the batch is no other batch
        run["configuration"] = {**run["configuration"], "sync_batch_norm": True}
    (found,), _ = groups.settings(runs, groups.DEFAULTS)
    assert [len(one.records) for one in found.variants] == [3]


def test_a_preset_that_was_recorded_and_not_read_makes_no_other_variant(make_record):
    presets = [("supervised", "digits", 0), ("supervised", None, 1), ("drw", "digits", 0)]
    runs = [make_record(method, seed=seed, randaugment=one) for method, one, seed in presets]
    (found,), _ = groups.settings(runs, groups.DEFAULTS)
    assert names(found) == [("supervised", 2), ("drw", 1)]
    # Crops that are padded with black are other ones than reflected ones, unless cut elsewhere.
    runs = [make_record("supervised", seed=0, randaugment="darp_cifar10", crop="shift")]
    runs.append(make_record("supervised", seed=1, randaugment=None, crop="shift"))
    assert len(groups.settings(runs, groups.DEFAULTS)[0][0].variants) == 2
    for run in runs:
        run["configuration"]["crop"] = "resized"
    assert len(groups.settings(runs, groups.DEFAULTS)[0][0].variants) == 1
