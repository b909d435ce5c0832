"""The table of a comparison, and which runs it runs."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from drw_tf import child, compare, config
from drw_tf.data import dataset as data
from drw_tf.report import tables
from tests import records


def record(method, seed, accuracy, seconds=60.0, **flags):
    resolved = config.resolve({"method": method, "seed": seed} | flags)
    found = records.record_of(resolved, [], seconds)
    best = {"value": None, "step": None}
    one = {"last": accuracy, "best": best, "mean_last_20": 0.0, "median_last_20": 0.0}
    final = {name: {**one, "evaluations": 1} for _, name in tables.METRICS}
    return {**found, "final": {"ema": final}}


def test_table_has_mean_and_deviation_over_seeds_best_first():
    rows = [record("fixmatch", 0, 0.8), record("fixmatch", 1, 0.9), record("drw", 0, 0.95, 120.0)]
    lines = compare.table([*rows, record("frwl", 0, 0.7)]).splitlines()
    # Mean of 80 and 90 is 85, sample deviation sqrt(50) = 7.07. Of seed 0 alone are two.
    assert lines[2].startswith("| fixmatch | 85.0 ± 7.1 |")
    assert lines[2].endswith("| 2 | 1.0 |")
    assert lines[3].startswith("| drw | 95.0 |")
    assert lines[3].endswith("| 1 | 2.0 |")
    assert lines[4].startswith("| frwl | 70.0 |")
    # What these numbers are.
    assert lines[5] == ""
    assert lines[6].startswith("Averaged network, last evaluation, mean ± standard deviation over")


def test_in_a_setting_of_the_paper_its_numbers_stand_beside_the_mean_of_the_last_twenty():
    cifar = {"dataset": "cifar10", "imbalance_ratio": 100.0}
    rows = [record("drw", 0, 0.5, **cifar), record("frwl", 0, 0.4, **cifar)]
    rows[0]["final"]["ema"]["balanced_accuracy"]["mean_last_20"] = 0.781
    for row in rows:
        row["final"]["ema"]["balanced_accuracy"]["evaluations"] = 20
    lines = compare.table(rows).splitlines()
    assert lines[0].endswith("| the paper, bACC % | seeds | minutes a run |")
    assert lines[2].startswith("| drw | 78.1 |")
    assert lines[2].endswith("| 79.3 ± 0.27 | 1 | 1.0 |")
    # The paper's FRwL is on FixMatch + DARP.
    assert lines[3].endswith("| - | 1 | 1.0 |")
    assert "mean of the last 20 evaluations" in lines[-1]


def test_a_run_with_flags_that_are_not_of_the_papers_protocol_says_so():
    cifar = {"dataset": "cifar10", "imbalance_ratio": 100.0}
    rows = [record("drw", 0, 0.5, **cifar, learning_rate=1.0, beta="0.9")]
    assert "| drw, learning_rate 1.0, beta 0.9 | 50.0 |" in compare.table(rows)


def test_two_spellings_of_a_beta_are_one_row():
    rows = [record("drw", 0, 0.8, beta="0.9"), record("drw", 1, 0.9, beta="0.9")]
    rows[1]["configuration"]["beta"] = ".90"  # as an older version has recorded it
    assert "| drw | 85.0 ± 7.1 |" in compare.table(rows)


def test_beside_shorter_runs_on_its_data_the_paper_stands_with_its_own_length():
    rows = [record("drw", 0, 0.5, dataset="cifar10", protocol="small_budget")]
    rows[0]["final"]["ema"]["balanced_accuracy"]["mean_last_20"] = 0.781
    lines = compare.table(rows).splitlines()
    title = "the paper, protocol darp, 250,000 steps, bACC %"
    assert lines[0].endswith(f"| {title} | seeds | minutes a run |")
    assert lines[2].startswith("| drw | 50.0 |")
    assert "| 79.3 ± 0.27 |" in lines[2]


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"steps": 500}, ""),
        ({"protocol": "modern"}, "protocol darp, "),
        ({"model": "wide_resnet_10_1"}, "model wide_resnet_28_2, "),
        (
            {"protocol": "small_budget", "model": "wide_resnet_10_1"},
            "protocol darp, model wide_resnet_28_2, ",
        ),
    ],
)
def test_the_papers_column_names_its_protocol_and_network_where_ours_are_others(flags, what):
    head = compare.table([record("drw", 0, 0.5, dataset="cifar10", **flags)]).splitlines()[0]
    assert f"| the paper, {what}250,000 steps, bACC % |" in head


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Command lines that were started; each leaves a record as the trainer would."""
    commands = []

    def train(words, workdir):
        commands.append(words)
        given = config.parse(["train", *words])
        assert str(workdir) == given["workdir"]
        workdir = pathlib.Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        own = {name: value for name, value in given.items() if name not in ("method", "seed")}
        found = record(given["method"], given["seed"], 1 / 3, **own)
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


def test_runs_of_another_length_are_left_out_of_the_table_and_named(started, capsys):
    words = ["compare", "--methods=drw", "--seeds=0", "--steps=200"]
    compare.main([*words, "--stop_at_step=100"])
    capsys.readouterr()
    compare.main([*words, "--dry_run"])
    printed = capsys.readouterr()
    assert printed.out == "no record yet\n"
    expected = "left out drw, seed 0: it has 100 steps, asked for were 200"
    assert printed.err == f"compare: {expected}\n"


def own_pictures(*places):
    words = ["--dataset=folder", "--methods=drw", "--seeds=0", "--steps=100"]
    return ["compare", *words, "--steps_per_epoch=50", *places]


def test_without_test_pictures_there_is_nothing_to_compare(started, monkeypatch, capsys):
    train, said = child.train, []

    def untested(words, workdir):
        said.append(capsys.readouterr().err)
        train(words, workdir)
        path = pathlib.Path(workdir) / "record.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "final": {}}))

    monkeypatch.setattr(child, "train", untested)
    compare.main(own_pictures("--labeled_dir=cats"))
    assert said == [
        "compare: there are no test pictures (--test_dir, or rows of the split test in "
        "--labels_csv), so that there will be nothing to compare.\n"
    ]
    printed = capsys.readouterr()
    assert printed.out == "trained without test pictures, nothing to compare\n"
    # Where they are given nothing is said.
    monkeypatch.setattr(child, "train", train)
    compare.main(own_pictures("--labeled_dir=cats", "--test_dir=t", "--results=r", "--runs=s"))
    printed = capsys.readouterr()
    assert "| drw | 33.3 |" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(("split", "is_tested"), [("test", True), ("validation", False)])
def test_a_table_says_whether_there_are_test_pictures(tmp_path, split, is_tested):
    for name in "123":
        (tmp_path / f"{name}.png").touch()
    table = tmp_path / "table.csv"
    table.write_text(f"path,label,split\n1.png,cat,\n2.png,dog,\n3.png,cat,{split}\n")
    row = config.resolve({"dataset": "csv", "labels_csv": str(table)})
    assert compare._is_tested(row) is is_tested


def test_records_of_pictures_elsewhere_are_refused(started, capsys, tmp_path):
    compare.main(own_pictures("--labeled_dir=cats", "--unlabeled_dir=more"))
    # Said otherwise it is the same place.
    compare.main(own_pictures(f"--labeled_dir={tmp_path}/cats", "--unlabeled_dir=./more"))
    assert len(started) == 1
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        compare.main(own_pictures("--labeled_dir=birds", "--unlabeled_dir=more"))
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert "is of other data (--labeled_dir: was cats, now birds); give other" in line
    assert len(started) == 1


def test_records_of_pictures_that_changed_meanwhile_are_not_compared(started, capsys, tmp_path):
    words = own_pictures("--labeled_dir=cats", "--unlabeled_dir=more")
    compare.main(words)
    path = tmp_path / "results" / "folder" / "drw_seed0.json"
    found = json.loads(path.read_text())
    found["dataset"]["split_checksum"] = "of fewer pictures"
    path.write_text(json.dumps(found))
    with pytest.raises(SystemExit) as caught:
        compare.main([*words, "--methods=drw,fixmatch"])
    assert caught.value.code == 2
    assert "drw, seed 0, and fixmatch, seed 0, are of different pictures" in capsys.readouterr().err


def test_records_of_pictures_that_are_more_now_are_refused(started, capsys, tmp_path):
    for name in ("cats/a/1.png", "cats/b/1.png", "cats/b/2.png", "more/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    words = own_pictures("--labeled_dir=cats", "--unlabeled_dir=more", "--image_size=8")
    compare.main(words)
    path = tmp_path / "results" / "folder" / "drw_seed0.json"
    found = json.loads(path.read_text())
    found["dataset"] |= {"class_names": ["a", "b"], "labeled_counts": [1, 2]}
    found["dataset"] |= {"unlabeled_pictures": 1, "test_counts": None}
    rows = np.arange(4)
    found["dataset"]["split_checksum"] = data.Split(rows[:3], rows[3:], rows[:0]).checksum()
    # Of the split a row number moved, of the files a name.
    for name, text in (("split", "are labeled"), ("training", "the files have other names")):
        other = {**found["dataset"], f"{name}_checksum": "0" * 16}
        path.write_text(json.dumps({**found, "dataset": other}))
        with pytest.raises(SystemExit) as caught:
            compare.main(words)
        assert caught.value.code == 2
        assert text in capsys.readouterr().err
    path.write_text(json.dumps(found))
    compare.main(words)
    tested = {**found["dataset"], "test_counts": [1, 1]}
    path.write_text(json.dumps({**found, "dataset": tested}))
    with pytest.raises(SystemExit) as caught:
        compare.main(words)
    assert caught.value.code == 2
    assert "it had 2 test pictures, now 0; give other" in capsys.readouterr().err
    path.write_text(json.dumps(found))
    (tmp_path / "cats/b/1.png").rename(tmp_path / "cats/a/2.png")
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        compare.main(words)
    assert caught.value.code == 2
    said = "drw_seed0.json is of other pictures than lie there now: it had 1 labeled picture of a, "
    assert f"{said}now 2; give other --results and --runs." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_what_is_no_record_is_named(started, capsys, tmp_path, text):
    path = tmp_path / "results" / "digits" / "drw_seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        compare.main(["compare", "--methods=drw", "--seeds=0", "--steps=100"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "results/digits/drw_seed0.json is not a record" in line
    assert not started


def test_a_file_in_place_of_the_results_is_refused_before_anything_runs(started, capsys, tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(SystemExit) as caught:
        compare.main(["compare", "--methods=drw", "--seeds=0", "--steps=100"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "compare: --results=results/digits: Not a directory.\n"
    assert not started


def refused(capsys, words):
    """The one line with which it ends."""
    with pytest.raises(SystemExit) as caught:
        compare.main(words)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("compare: ")
    return line


def test_a_record_that_cannot_be_kept_is_one_line(started, capsys, tmp_path, monkeypatch):
    def full(source, destination):
        raise OSError(28, "No space left on device", str(destination))

    monkeypatch.setattr("os.replace", full)
    line = refused(capsys, ["compare", "--methods=drw", "--seeds=0", "--steps=100"])
    assert "No space left on device" in line
    assert "drw_seed0.json" in line
    assert list((tmp_path / "results" / "digits").iterdir()) == []


@pytest.mark.parametrize("text", [None, "{"])
def test_a_run_that_left_no_record_is_one_line(started, capsys, tmp_path, monkeypatch, text):
    def train(words, workdir):
        pathlib.Path(workdir).mkdir(parents=True)
        if text:
            pathlib.Path(workdir, "record.json").write_text(text)

    monkeypatch.setattr(child, "train", train)
    line = refused(capsys, ["compare", "--methods=drw", "--seeds=0", "--steps=100"])
    assert "runs/compare/digits/drw/seed0/record.json" in line


def test_sigterm_between_two_runs_is_the_code_of_a_stop(started, stopped_between_runs):
    with stopped_between_runs():
        compare.main(["compare", "--methods=drw", "--seeds=0,1", "--steps=100"])
    assert len(started) == 1


def test_a_flagfile_may_hold_flags_of_this_program_too(started, tmp_path):
    (tmp_path / "all.flags").write_text("--methods=drw\n--steps=100\n--seeds=3\n")
    compare.main(["compare", "--flagfile=all.flags"])
    assert [words for words in started if "--method=drw" in words and "--seed=3" in words]
    assert len(started) == 1


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
        (["--runs="], "--runs must be the name of a folder, got ''."),
        (["--results="], "--results must be the name of a folder, got ''."),
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
    assert "here and must be left out, got drw in a --flagfile." in capsys.readouterr().err


def test_a_flag_of_many_digits_is_no_other_setting_the_next_time(started, capsys):
    words = ["compare", "--methods=drw", "--seeds=0", "--steps=100", "--lambda_u=0.123456789"]
    compare.main(words)
    compare.main(words)
    assert len(started) == 1
    assert "| drw | 33.3 |" in capsys.readouterr().out


def test_kept_floats_have_six_digits():
    assert compare.shorten({"a": [1 / 3, 2, "x"]}) == {"a": [0.333333, 2, "x"]}
