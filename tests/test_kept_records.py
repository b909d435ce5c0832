"""The records that are kept here are of the settings that their commands ask for today."""

import json
import pathlib

import pytest

from drw_tf import config

ROOT = pathlib.Path(__file__).parents[1]
RECORDS = sorted((ROOT / "results").glob("*/*.json"))
TRAINER = ["python", "-m", "drw_tf.train"]


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in RECORDS}))
def test_what_made_a_record_would_make_it_again(folder, monkeypatch):
    monkeypatch.chdir(ROOT)  # flagfiles are named from here
    trained = 0
    for path in (ROOT / "results" / folder).glob("*.json"):
        record = json.loads(path.read_text())
        command = record["command_line"]
        if command[:3] != TRAINER:
            continue  # of a training that was judged as another method
        now = config.resolve(config.parse(["train", *command[3:]]))
        assert config.differences(record["configuration"], now) == [], path.name
        trained += 1
    assert trained
