import numpy as np
import pytest

from drw_tf.report import history


def test_run_labels_are_methods_then_seeds_then_numbers(make_record):
    drw, fixmatch = make_record("drw"), make_record("fixmatch")
    assert history.run_labels([drw, fixmatch], None) == ["drw", "fixmatch"]
    second = make_record("drw", seed=1)
    assert history.run_labels([drw, second], None) == ["drw, seed 0", "drw, seed 1"]
    assert history.run_labels([drw, drw], None) == ["drw, seed 0 (1)", "drw, seed 0 (2)"]
    assert history.run_labels([drw, fixmatch], ["a", "b"]) == ["a", "b"]


def test_labels_must_be_one_a_record(make_record):
    with pytest.raises(ValueError, match="labels must be 1, one a record, got 2"):
        history.run_labels([make_record()], ["a", "b"])
    with pytest.raises(ValueError, match="records must be at least one"):
        history.run_labels([], None)


def test_classes_are_ordered_by_labeled_counts_and_equal_ones_as_numbered(make_record):
    names, order = history.class_facts([make_record(counts=[5, 9, 5, 30])])
    assert names == ["class 0", "class 1", "class 2", "class 3"]
    assert order.tolist() == [3, 1, 0, 2]


def test_records_of_different_classes_are_not_drawn_together(make_record):
    with pytest.raises(ValueError, match="must have the same class_names"):
        history.class_facts([make_record(num_classes=4), make_record(num_classes=5)])


def test_series_leaves_out_entries_that_lack_the_quantity():
    entries = [
        {"step": 1, "train": {"loss": 2.0}},
        {"step": 2, "train": {}},
        {"step": 3, "train": {"loss": None}},
        {"step": 4, "train": {"loss": 0.5}, "test": {"ema": {"recall": [None, 0.5]}}},
    ]
    steps, values = history.series({"history": entries}, "train", "loss")
    assert steps.tolist() == [1, 4]
    assert values.tolist() == [2.0, 0.5]
    steps, values = history.series({"history": entries}, "test", "ema", "recall")
    assert steps.tolist() == [4]
    np.testing.assert_array_equal(values, [[np.nan, 0.5]])


def test_dynamic_start_is_known_only_of_runs_whose_weights_changed(make_record):
    # reweight_start .5 of 4 * 50 steps.
    assert history.dynamic_start(make_record("drw")) == 100
    assert history.dynamic_start(make_record("fixmatch")) is None
    # Stopped at step 200 of 240, it is still half of all that were planned.
    assert history.dynamic_start(make_record("drw", steps=240, done=200)) == 120
    constant = make_record("drw")
    for entry in constant["history"]:
        entry["unlabeled_weights"] = [2.0, 1.0, 0.5, 0.5]
    assert history.dynamic_start(constant) is None


def test_missing_metric_is_named(make_record):
    with pytest.raises(ValueError, match="must have recall of the other network"):
        history.last_metric(make_record(), "other", "recall")


def test_lists_of_many_classes_stay_in_every_kth_entry_and_the_last(monkeypatch, make_entry):
    # 5 evaluations of 4 classes are 20 numbers; 8 are allowed: every third, from the end.
    monkeypatch.setattr(history, "MAX_THINNED", 8)
    entries = [make_entry(50 * (index + 1), 4) for index in range(5)]
    got = history.thinned(entries)
    for name in ("pseudo_precision", "confident_rate"):
        assert [name in entry for entry in got] == [False, True, False, False, True]
    assert all("pseudo_numbers" in entry for entry in got)
    assert "pseudo_precision" in entries[0]


def test_short_histories_are_kept_whole(make_entry):
    entries = [make_entry(50, 4), make_entry(100, 4)]
    assert all("pseudo_recall" in entry for entry in history.thinned(entries))
    assert history.thinned([]) == []
