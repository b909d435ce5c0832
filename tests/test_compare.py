"""The table of a comparison, and which runs it runs."""

import json

import pytest

from drw_tf import child, compare, config
from drw_tf.report import tables


def record(method, seed, accuracy, seconds=60.0, **flags):
    resolved = config.resolve({"method": method, "seed": seed} | flags)
    final = {name: {"last": accuracy, "mean_last_20": 0.0} for _, name in tables.METRICS}
    return {"configuration": dict(resolved), "final": {"ema": final}, "seconds": seconds}


def test_table_has_mean_and_deviation_over_seeds_best_first():
    rows = [record("fixmatch", 0, 0.8), record("fixmatch", 1, 0.9), record("drw", 0, 0.95, 120.0)]
    lines = compare.table(rows).splitlines()
    # Mean of 80 and 90 is 85, sample deviation sqrt(50) = 7.07.
    assert lines[2].startswith("| drw | 95.0 |")
    assert lines[2].endswith("| 1 | 2.0 |")
    assert lines[3].startswith("| fixmatch | 85.0 ± 7.1 |")
    assert lines[3].endswith("| 2 | 1.0 |")


def test_in_a_setting_of_the_paper_its_numbers_stand_beside_the_mean_of_the_last_twenty():
    cifar = {"dataset": "cifar10", "imbalance_ratio": 100.0}
    rows = [record("drw", 0, 0.5, **cifar), record("frwl", 0, 0.5, **cifar)]
    rows[0]["final"]["ema"]["balanced_accuracy"]["mean_last_20"] = 0.781
    lines = compare.table(rows).splitlines()
    assert lines[0].endswith("| the paper, bACC % | seeds | minutes a run |")
    assert lines[2].startswith("| drw | 78.1 |")
    assert lines[2].endswith("| 79.3 ± 0.27 | 1 | 1.0 |")
    assert "| 76.2 |" in lines[3]


def test_beside_shorter_runs_on_its_data_the_paper_stands_with_its_own_length():
    rows = [record("drw", 0, 0.5, dataset="cifar10", protocol="small_budget")]
    rows[0]["final"]["ema"]["balanced_accuracy"]["mean_last_20"] = 0.781
    lines = compare.table(rows).splitlines()
    assert lines[0].endswith("| the paper, 250,000 steps, bACC % | seeds | minutes a run |")
    assert lines[2].startswith("| drw | 50.0 |")
    assert "| 79.3 ± 0.27 |" in lines[2]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Command lines that were started; each leaves a record as the trainer would."""
    commands = []

    def train(words):
        commands.append(words)
        given = config.parse(["train", *words])
        workdir = tmp_path / given["workdir"]
        workdir.mkdir(parents=True, exist_ok=True)
        found = record(given["method"], given["seed"], 1 / 3, steps=given["steps"])
        found["steps"] = given.get("stop_at_step", given["steps"])
        (workdir / "record.json").write_text(json.dumps(found))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "train", train)
    return commands


def test_runs_what_has_no_record_and_nothing_twice(started, tmp_path, capsys):
    words = ["compare", "--methods=fixmatch,drw", "--seeds=0,1", "--steps=100"]
    compare.main(words)
    assert len(started) == 4
    assert "| drw | 33.3 ± 0.0 |" in capsys.readouterr().out
    (tmp_path / "results" / "digits" / "drw_seed1.json").unlink()
    (tmp_path / "runs" / "compare" / "digits" / "drw" / "seed1").rename(tmp_path / "aside")
    compare.main(words)
    assert len(started) == 5
    assert "--method=drw" in started[-1]
    assert "--seed=1" in started[-1]


def test_a_run_that_ended_early_goes_on_where_it_was(started, tmp_path):
    words = ["compare", "--methods=drw", "--seeds=0", "--steps=200"]
    compare.main([*words, "--stop_at_step=100"])
    compare.main([*words, "--stop_at_step=50"])
    assert len(started) == 1
    compare.main(words)
    assert len(started) == 2
    kept = json.loads((tmp_path / "results" / "digits" / "drw_seed0.json").read_text())
    assert kept["steps"] == 200


def test_kept_record_of_another_setting_is_refused(started, capsys):
    compare.main(["compare", "--methods=drw", "--seeds=0", "--steps=100"])
    with pytest.raises(SystemExit) as caught:
        compare.main(["compare", "--methods=drw", "--seeds=0", "--steps=200"])
    assert caught.value.code == 2
    assert "--steps: was 100, now 200" in capsys.readouterr().err


def test_bad_flag_of_the_trainer_is_refused_before_anything_runs(started, capsys):
    with pytest.raises(SystemExit):
        compare.main(["compare", "--methods=fixmatch", "--beta=0.9"])
    assert "--beta is not read by --method=fixmatch" in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods="], "--methods must be at least one value, with commas between several, got"),
        (["--seeds="], "--seeds must be at least one value, with commas between several, got ''."),
        (["--seeds=0,"], "--seeds must be at least one value"),
        (["--seed=7"], "--seed is set by --seeds here and must be left out, got 7."),
        (["--workdir=x"], "--workdir is set by --runs here and must be left out, got x."),
        (["--method=drw"], "--method is set by --methods here and must be left out, got drw."),
        (["--fresh"], "--fresh must be left out: finished runs are kept; give other --runs and"),
    ],
)
def test_what_would_be_overwritten_or_runs_nothing_is_refused(started, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        compare.main(["compare", "--steps=100", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not started


def test_a_flagfile_may_name_the_method_that_is_compared(started, tmp_path, capsys):
    (tmp_path / "row.flags").write_text("--method=drw\n--steps=100\n")
    words = ["compare", "--flagfile=row.flags", "--seeds=0", "--fresh=false"]
    compare.main([*words, "--methods=drw"])
    assert len(started) == 1
    with pytest.raises(SystemExit):
        compare.main([*words, "--methods=drw,fixmatch"])
    assert "--method is set by --methods here" in capsys.readouterr().err


def test_kept_floats_have_six_digits():
    assert compare.shorten({"a": [1 / 3, 2, "x"]}) == {"a": [0.333333, 2, "x"]}
