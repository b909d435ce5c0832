"""Where `python -m drw_tf.export` writes, and what the trainer makes of an export that is there."""

import json
from types import SimpleNamespace

import pytest

from drw_tf import config as configuration
from drw_tf import export


def test_a_place_without_a_name_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        export.main(["export", "--workdir=run", "--out="])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "export: --out must be the name of a folder, got ''.\n"


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ('{"export_logit_adjustment": true, "export_temperature": "none"}', True),
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
