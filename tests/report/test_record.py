import pytest

from drw_tf.report import groups, record_file
from drw_tf.report import record as run_record


def with_values(values):
    """A history whose balanced accuracy takes these values at steps 10, 20, ..."""
    return [
        {"step": 10 * (index + 1), "train": {}, "test": {"ema": {"balanced_accuracy": value}}}
        for index, value in enumerate(values)
    ]


def final(values):
    return run_record.final_metrics(with_values(values))["ema"]["balanced_accuracy"]


def test_record_says_what_was_run_and_where(make_record):
    built = make_record()
    assert built["schema_version"] == 1
    assert built["command_line"][-1] == "--method=drw"
    assert built["configuration"]["reweight_start"] == 0.5
    assert built["steps"] == 200
    assert set(built["versions"]) >= {"python", "tensorflow", "keras", "numpy", "drw_tf"}
    assert set(built["machine"]) >= {"cpu", "cores", "gpus"}
    assert built["dataset"]["labeled_counts"] == [40, 30, 20, 10]


@pytest.mark.parametrize("machine", [{"cpu": "another", "cores": 64, "gpus": ["a"]}, {}])
def test_machine_of_the_training_may_be_another_one_or_unknown(make_record, machine):
    given = {**make_record(), "images_per_second": None, "machine": machine}
    names = ("command_line", "configuration", "dataset", "history", "steps", "seconds")
    built = run_record.build_record(
        **{name: given[name] for name in (*names, "images_per_second", "machine")}
    )
    assert built["machine"] == machine


def test_final_metrics_of_more_than_20_evaluations_by_hand():
    # 0 .. 24 hundredths, then .10: the last 20 are .06 .. .24 and .10.
    values = [index / 100 for index in range(25)] + [0.10]
    got = final(values)
    assert got["last"] == 0.10
    assert got["best"] == {"value": 0.24, "step": 250}
    # (.06 + ... + .24) = 19 * .15 = 2.85; (2.85 + .10) / 20
    assert got["mean_last_20"] == pytest.approx(2.95 / 20)
    # Sorted: .06 .. .10 .10 .. .24, the 10th and 11th of 20 are .14 and .15.
    assert got["median_last_20"] == pytest.approx(0.145)
    assert got["evaluations"] == 20


def test_final_metrics_of_few_evaluations_say_how_many_they_are_of():
    got = final([0.2, 0.4])
    assert got["mean_last_20"] == pytest.approx(0.3)
    assert got["evaluations"] == 2


def test_evaluations_of_an_earlier_stage_are_in_no_mean():
    history = with_values([0.9] * 22 + [0.2, 0.4])
    for entry in history[:22]:
        entry["stage"] = 0
    for entry in history[22:]:
        entry["stage"] = 1
    got = run_record.final_metrics(history)["ema"]["balanced_accuracy"]
    assert (got["last"], got["evaluations"]) == (0.4, 2)
    assert got["mean_last_20"] == got["median_last_20"] == pytest.approx(0.3)
    assert got["best"] == {"value": 0.9, "step": 10}


def test_undefined_value_makes_the_mean_undefined_but_not_the_best():
    got = final([0.2, float("nan"), 0.1])
    assert got["best"] == {"value": 0.2, "step": 10}
    assert (got["last"], got["mean_last_20"], got["median_last_20"]) == (0.1, None, None)


def test_metric_that_is_never_defined_is_none_throughout():
    got = final([float("nan"), None])
    assert got["last"] is None
    assert got["best"] == {"value": None, "step": None}


def test_best_is_the_first_of_equals():
    assert final([0.5, 0.9, 0.9])["best"]["step"] == 20


def test_run_that_was_never_evaluated_has_no_final_metrics(make_record):
    assert run_record.final_metrics([]) == {}
    assert run_record.final_metrics([{"step": 5, "train": {}, "test": {}}]) == {}


def test_final_metrics_of_both_networks_are_kept_apart(make_record):
    got = make_record()["final"]
    # Mean recall (1 + 2 + 3 + 4) / 32 = .3125, plus step / 10000 at step 200.
    assert got["ema"]["balanced_accuracy"]["last"] == pytest.approx(0.3325)
    assert got["raw"]["balanced_accuracy"]["last"] == 0.125
    assert set(got["ema"]) == set(record_file.FINAL_METRICS)


def test_history_keeps_the_last_confusion_matrix_only(make_record):
    built = make_record()
    kept = ["confusion" in entry["test"]["ema"] for entry in built["history"]]
    assert kept == [False, False, False, True]
    assert built["last_metrics"]["raw"]["confusion"][0] == [1, 7, 0, 0]


def test_history_keeps_the_last_calibration_bins_only(make_record):
    kept = ["reliability" in entry["test"]["ema"] for entry in make_record()["history"]]
    assert kept == [False, False, False, True]


def test_history_given_is_not_changed(make_entry):
    history = [make_entry(50, 3), make_entry(100, 3)]
    run_record.build_record(
        command_line=[],
        configuration={"method": "drw", "seed": 0, "steps": 100},
        dataset={
            "name": "x",
            "split_checksum": "",
            "class_names": ["a", "b", "c"],
            "labeled_counts": [1, 1, 1],
            "unlabeled_counts": None,
            "test_counts": None,
        },
        history=history,
        steps=100,
        seconds=1.0,
        images_per_second=None,
    )
    assert "confusion" in history[0]["test"]["ema"]


def test_dataset_without_counts_is_refused_when_it_is_built():
    with pytest.raises(ValueError, match=r"dataset\.split_checksum is missing"):
        run_record.build_record(
            command_line=[],
            configuration={"method": "drw", "seed": 0, "steps": 0},
            dataset={"name": "digits"},
            history=[],
            steps=0,
            seconds=0.0,
            images_per_second=None,
        )


def test_a_record_at_an_earlier_step_is_of_the_code_that_had_trained_by_then(make_record):
    def part(step, commit, replicas):
        git = {"commit": commit * 40, "dirty": False}
        return {"from_step": step, "versions": {"drw_tf": commit}, "git": git, "replicas": replicas}

    entry = {"seconds": 1.0, "train": {}, "test": {"ema": {"balanced_accuracy": 0.5}}}
    parts = [part(0, "a", 2), part(100, "b", 4)]
    made = {"made_by": parts, "git": parts[1]["git"], "machine": {"replicas": 4}}
    whole = make_record() | made
    whole["history"] = [{**entry, "step": 100}, {**entry, "step": 200}]
    got = run_record.at_step(whole, 100)
    assert got["made_by"] == parts[:1]
    assert (got["git"]["commit"][0], got["versions"]) == ("a", {"drw_tf": "a"})
    assert run_record.at_step(whole, 200)["made_by"] == parts
    assert run_record.at_step(make_record(), 200)["git"] == make_record()["git"]
    begun_by_others = run_record.at_step(whole | {"made_by": [part(150, "b", 4)]}, 100)
    assert (begun_by_others["git"], begun_by_others["versions"]) == (None, {})
    assert groups._read(got, ["replicas"]) == {"replicas": 2}
    assert groups._read(whole, ["replicas"]) == {"replicas": "2, then 4"}
