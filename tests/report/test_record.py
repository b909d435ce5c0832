import json
import os
import stat

import numpy as np
import pytest

from drw_tf.report import record as run_record


def with_values(values):
    """A history whose balanced accuracy takes these values at steps 10, 20, ..."""
    return [
        {"step": 10 * (index + 1), "train": {}, "test": {"ema": {"balanced_accuracy": value}}}
        for index, value in enumerate(values)
    ]


def final(values):
    return run_record.final_metrics(with_values(values))["ema"]["balanced_accuracy"]


def test_record_comes_back_from_disk_as_it_was_built(make_record, tmp_path):
    built = make_record()
    run_record.write_record(tmp_path / "record.json", built)
    assert run_record.read_record(tmp_path / "record.json") == built


def test_record_says_what_was_run_and_where(make_record):
    built = make_record()
    assert built["schema_version"] == 1
    assert built["command_line"][-1] == "--method=drw"
    assert built["configuration"]["reweight_start"] == 0.5
    assert built["steps"] == 200
    assert set(built["versions"]) >= {"python", "tensorflow", "keras", "numpy", "drw_tf"}
    assert set(built["machine"]) >= {"cpu", "cores", "gpus"}
    assert built["dataset"]["labeled_counts"] == [40, 30, 20, 10]


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
    assert set(got["ema"]) == set(run_record.FINAL_METRICS)


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
        configuration={},
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


def test_file_is_strict_json_with_null_for_what_is_not_finite(make_record, tmp_path):
    built = make_record(beta=float("nan"), limit=np.inf)
    run_record.write_record(tmp_path / "record.json", built)
    text = (tmp_path / "record.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["configuration"]["beta"] is None
    assert json.loads(text)["configuration"]["limit"] is None


def test_plain_turns_numpy_and_paths_into_json(tmp_path):
    got = run_record.plain(
        {"a": np.float32(0.5), "b": np.arange(2), "c": (True, None), "d": tmp_path, 5: np.bool_(1)}
    )
    assert got == {"a": 0.5, "b": [0, 1], "c": [True, None], "d": str(tmp_path), "5": True}


def test_value_without_json_is_refused_with_its_place():
    with pytest.raises(TypeError, match=r"flags\.sets\[1\] must be something JSON can hold, got s"):
        run_record.plain({"sets": [1, {2}]}, "flags")


def test_nan_that_was_put_into_a_record_by_hand_is_refused(make_record, tmp_path):
    built = make_record()
    built["seconds"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_record.write_record(tmp_path / "record.json", built)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(make_record, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    run_record.write_record(path, make_record(method="fixmatch"))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        run_record.write_record(path, make_record())
    assert run_record.read_record(path)["configuration"]["method"] == "fixmatch"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_record_can_be_read_by_others(make_record, tmp_path):
    run_record.write_record(tmp_path / "record.json", make_record())
    umask = os.umask(0)
    os.umask(umask)
    mode = stat.S_IMODE((tmp_path / "record.json").stat().st_mode)
    assert mode == 0o666 & ~umask


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("machine"), "machine is missing"),
        (lambda r: r.update(schema_version=2), "schema_version must be 1, got 2"),
        (lambda r: r.update(steps="many"), "steps must not be str"),
        (lambda r: r.update(steps=True), "steps must not be bool"),
        (lambda r: r["dataset"].pop("split_checksum"), r"dataset\.split_checksum is missing"),
        (lambda r: r["dataset"].update(labeled_counts=[1]), "must have 4 numbers, got 1"),
        (lambda r: r["history"][2].pop("step"), r"history\[2\] must be an object with"),
        (lambda r: r["final"]["ema"]["few"].pop("best"), r"final\.ema\.few must have best"),
        (lambda r: r["final"]["ema"].update(few=1), r"final\.ema\.few must be an object"),
        (lambda r: r["final"].update(ema=[]), r"final\.ema must be an object"),
    ],
)
def test_file_of_another_shape_is_refused_by_name(make_record, tmp_path, change, message):
    built = make_record()
    change(built)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(built))
    with pytest.raises(ValueError, match=rf"other\.json is not a record: .*{message}"):
        run_record.read_record(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ('{"schema_version": 1', "Expecting"),
        ("[]", "top level must be an object, got list"),
        ('{"schema_version": NaN}', "NaN is not JSON"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "Expecting value"),
    ],
)
def test_file_that_is_not_json_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.json is not a record: .*{message}"):
        run_record.read_record(path)


def test_file_that_is_not_text_is_refused_by_name(tmp_path):
    path = tmp_path / "bytes.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bytes\.json is not a record"):
        run_record.read_record(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        run_record.read_record(tmp_path / "nowhere.json")


def test_dataset_without_counts_is_refused_when_it_is_built():
    with pytest.raises(ValueError, match=r"dataset\.split_checksum is missing"):
        run_record.build_record(
            command_line=[],
            configuration={},
            dataset={"name": "digits"},
            history=[],
            steps=0,
            seconds=0.0,
            images_per_second=None,
        )
