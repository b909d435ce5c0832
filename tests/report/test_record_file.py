import json
import os
import stat

import numpy as np
import pytest

from drw_tf.report import record_file


def test_record_comes_back_from_disk_as_it_was_built(make_record, tmp_path):
    built = make_record()
    record_file.write_record(tmp_path / "record.json", built)
    assert record_file.read_record(tmp_path / "record.json") == built


def test_file_is_strict_json_with_null_for_what_is_not_finite(make_record, tmp_path):
    built = make_record(beta=float("nan"), limit=np.inf)
    record_file.write_record(tmp_path / "record.json", built)
    text = (tmp_path / "record.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["configuration"]["beta"] is None
    assert json.loads(text)["configuration"]["limit"] is None


def test_plain_turns_numpy_and_paths_into_json(tmp_path):
    got = record_file.plain(
        {"a": np.float32(0.5), "b": np.arange(2), "c": (True, None), "d": tmp_path, 5: np.bool_(1)}
    )
    assert got == {"a": 0.5, "b": [0, 1], "c": [True, None], "d": str(tmp_path), "5": True}


def test_value_without_json_is_refused_with_its_place():
    with pytest.raises(TypeError, match=r"flags\.sets\[1\] must be something JSON can hold, got s"):
        record_file.plain({"sets": [1, {2}]}, "flags")


def test_nan_that_was_put_into_a_record_by_hand_is_refused(make_record, tmp_path):
    built = make_record()
    built["seconds"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_file.write_record(tmp_path / "record.json", built)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(make_record, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    record_file.write_record(path, make_record(method="fixmatch"))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        record_file.write_record(path, make_record())
    assert record_file.read_record(path)["configuration"]["method"] == "fixmatch"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_record_can_be_read_by_others(make_record, tmp_path):
    record_file.write_record(tmp_path / "record.json", make_record())
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
        (lambda r: r["configuration"].pop("method"), r"configuration\.method is missing"),
        (lambda r: r["configuration"].update(seed="0"), r"configuration\.seed must not be str"),
        (lambda r: r["last_metrics"]["ema"].pop("recall"), r"last_metrics\.ema must have recall"),
        (
            lambda r: r["last_metrics"]["raw"].update(recall=[0.5]),
            r"last_metrics\.raw\.recall must have 4 numbers",
        ),
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
        record_file.read_record(path)


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
        record_file.read_record(path)


def test_file_that_is_not_text_is_refused_by_name(tmp_path):
    path = tmp_path / "bytes.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bytes\.json is not a record"):
        record_file.read_record(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        record_file.read_record(tmp_path / "nowhere.json")
