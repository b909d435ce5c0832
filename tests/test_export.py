"""Where `python -m drw_tf.export` writes, and what the trainer makes of an export that is there."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf import export, finished_run
from drw_tf.serving import decoding, run_export, warm_up


def test_a_place_without_a_name_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        export.main(["export", "--workdir=run", "--out="])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "export: --out must be the name of a folder, got ''.\n"


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ('{"export_logit_adjustment": true, "export_temperature": "none"}', True),
        # Of pictures that are sent; the trainer's own is of those that it reads.
        ('{"export_logit_adjustment": true, "max_megapixels": 2.0}', True),
        ('{"export_logit_adjustment": false}', False),
        ('{"export_logit_adjustment": true, "export_temperature": "2"}', False),
        # What cannot be read is as the record says.
        (None, True),
        ("{", True),
        ("[]", True),
    ],
)
def test_an_export_that_was_replaced_since_by_another_one_is_made_again(
    tmp_path, monkeypatch, text, finished
):
    from drw_tf import session

    config = configuration.resolve({"method": "drw_la", "export_logit_adjustment": True})
    written = {"configuration": dict(config), "steps": config.steps}
    monkeypatch.setattr("drw_tf.report.record_file.read_record", lambda path: written)
    folder = SimpleNamespace(record=tmp_path / "record.json", export=tmp_path / "export")
    folder.record.write_text(json.dumps({}))
    (folder.export / "assets").mkdir(parents=True)
    if text:
        (folder.export / "assets" / "configuration.json").write_text(text)
    assert session._is_finished(config, folder) is finished


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """exported("--flag", ..., **of_run): the flags of what would be exported of such a run."""

    def run(*words, **of_run):
        config = configuration.resolve({"workdir": str(tmp_path / "run"), **of_run})
        (tmp_path / "run" / "checkpoints" / "step_000000001").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / "config.json").write_text(config.to_json())
        opened = SimpleNamespace(
            config=config,
            dataset=SimpleNamespace(name=config.dataset),
            method=SimpleNamespace(adjusts=False),
        )
        monkeypatch.setattr(finished_run, "open_run", lambda *_: (opened, {"step": 1}))
        monkeypatch.setattr(finished_run, "record_of", lambda *_: {})
        monkeypatch.setattr(run_export, "refuse", lambda run: None)
        monkeypatch.setattr(run_export, "export_run", lambda *_: run_export.Temperature())
        export.main(["export", f"--workdir={tmp_path / 'run'}", *words])
        return opened.config

    return run


@pytest.mark.parametrize("of_run", [{"dataset": "folder", "labeled_dir": "x"}, {}])
def test_the_limit_of_pictures_that_are_sent_can_be_another_one_than_the_runs(exported, of_run):
    # Of digits, which are no files, the run itself has none.
    assert exported(**of_run).max_megapixels == (100.0 if of_run else None)
    assert exported("--max_megapixels=2.5", **of_run).max_megapixels == 2.5


def test_a_limit_above_what_any_export_decodes_is_refused(exported, capsys):
    assert exported("--max_megapixels=500").max_megapixels == 500.0
    with pytest.raises(SystemExit) as caught:
        exported("--max_megapixels=501")
    assert caught.value.code == 2
    said = "export: --max_megapixels must be at most 500 for an export, got 501.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("central_fraction", [None, 0.875])
def test_the_picture_that_a_server_warms_up_with_is_within_any_limit(tmp_path, central_fraction):
    warm_up.write(tmp_path, (8, 8, 3))
    path = tmp_path / "assets.extra" / warm_up.FILE
    *_, request = (one.numpy() for one in tf.data.TFRecordDataset(str(path)))
    lowest = decoding.Preparation((8, 8, 3), central_fraction, max_megapixels=1e-6)
    encoded = request[request.index(b"\x89PNG") :]
    assert decoding.decode_batch(tf.constant([encoded]), lowest).shape == [1, 8, 8, 3]
