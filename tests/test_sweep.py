"""Which runs a sweep has, and that validation pictures choose."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from drw_tf import child, config, sweep
from drw_tf.data import dataset as data
from drw_tf.report import event_files
from tests import event_values, records

BASE = ["--dataset=digits", "--method=drw", "--steps=100", "--validation_per_class=5"]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Command lines that were started; each leaves a record as the trainer would.

    On held-out pictures .9 is best, on test pictures .999.
    """
    commands = []

    def train(words, workdir):
        given = config.resolve(config.parse(["train", *words]))
        validation = {"0.9": 0.8, "0.999": 0.7}.get(given.beta, 0.6) + given.seed / 10
        entry = {"step": 100, "validation": {"ema": {"balanced_accuracy": validation}}}
        entry["test"] = {"ema": records.metrics_of(1 - validation)}
        found = records.record_of(given, [{"step": 50}, entry])
        commands.append(words)
        assert workdir == given.workdir
        workdir = pathlib.Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "record.json").write_text(json.dumps(found))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "train", train)
    return commands


def run(*words):
    sweep.main(["sweep", *BASE, *words])


def test_validation_pictures_choose_and_the_test_set_has_no_say(started, capsys):
    run("--try_beta=0.999,0.9", "--seeds=0,1")
    assert len(started) == 4
    out = capsys.readouterr().out
    lines = pathlib.Path("runs/sweep/digits/drw/sweep.md").read_text().splitlines()
    assert lines[0] == "| beta | validation bACC % | seeds |"
    # Seeds 0 and 1 lie 10 points apart: sd 7.1.
    assert lines[2] == "| 0.9 | 85.0 ± 7.1 | 2 |"
    assert lines[3] == "| 0.999 | 75.0 ± 7.1 | 2 |"
    assert lines[-1] == "chosen on held-out pictures: --beta=0.9"
    assert lines[-1] in out


def test_the_grid_is_the_product_of_what_is_tried(started):
    run("--try_beta=0.9", "--try_reweight_start=0,0.3", "--try_batch_size=16,32")
    points = {tuple(word for word in words if word.startswith("--")) for words in started}
    tried = {(words[-4], words[-3]) for words in points}
    assert tried == {
        (f"--reweight_start={start}", f"--batch_size={size}")
        for start in ("0", "0.3")
        for size in ("16", "32")
    }


def test_what_the_method_reads_can_be_tried_and_optimization_with_every_method(started):
    run("--method=fixmatch", "--try_learning_rate=0.1,0.03", "--try_ema_warmup=true,false")
    rates = [config.parse(["train", *words])["learning_rate"] for words in started]
    warmups = [config.parse(["train", *words])["ema_warmup"] for words in started]
    assert list(zip(rates, warmups, strict=True)) == [
        *((0.1, True), (0.1, False)),
        *((0.03, True), (0.03, False)),
    ]
    started.clear()
    run("--method=fixmatch_abc", "--try_threshold=0.8,0.95", "--runs=abc")
    assert [config.parse(["train", *words])["threshold"] for words in started] == [0.8, 0.95]


def test_what_is_tried_need_not_be_allowed_without_it(started):
    # The default, six generations, would not fit into four epochs.
    run("--method=fixmatch_crest", "--steps=200", "--try_crest_generations=2,4")
    tried = [config.parse(["train", *words])["crest_generations"] for words in started]
    assert tried == [2, 4]


def test_help_explains_the_common_ones_and_says_that_there_are_others(capsys):
    with pytest.raises(SystemExit) as caught:
        sweep.main(["sweep", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--try_learning_rate: values of --learning_rate" in text
    assert "--try_darp_start" not in text
    assert "Every flag that the method reads" in text
    assert len(text.splitlines()) < 25
    with pytest.raises(SystemExit):
        sweep.main(["sweep", "--helpfull"])
    assert "--try_darp_start: values of --darp_start" in capsys.readouterr().out


def test_finished_runs_are_not_run_again(started):
    run("--try_beta=0.9,0.999")
    pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0/record.json").unlink()
    pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0").rmdir()
    run("--try_beta=0.9,0.999")
    assert len(started) == 3
    assert "--beta=0.9" in started[-1]


def test_a_run_that_was_cut_before_its_export_is_not_finished(started):
    run("--try_beta=0.9")
    path = pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0/record.json")
    record = json.loads(path.read_text())
    record["configuration"]["export"] = False
    path.write_text(json.dumps(record))
    run("--try_beta=0.9", "--export=false")
    assert len(started) == 1
    run("--try_beta=0.9")
    assert len(started) == 2
    run("--try_beta=0.9")
    assert len(started) == 2


def test_hparams_are_what_was_tried_with_the_validation_score(started):
    run("--try_beta=0.9,0.999")
    run("--try_beta=0.9,0.999")
    logdir = pathlib.Path("runs/sweep/digits/drw/hparams")
    assert {path.name for path in logdir.iterdir()} == {"beta0.9", "beta0.999"}
    assert len(event_files.find(logdir)) == 2
    scalars = event_values.read(logdir / "beta0.9" / "seed0")
    assert scalars["final/validation_balanced_accuracy", 100] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give at least one --try_<flag>, with --method=drw of batch_size, beta, ema_decay,"),
        # Neither data nor length are tuned, and no method reads a flag that is not known.
        (["--try_imbalance_ratio=10,20"], "weight_normalization; got --try_imbalance_ratio."),
        (["--try_beta=0.9", "--try_steps=50,100"], "weight_normalization; got --try_steps."),
        (["--try_learning_rate=1,-1"], "--learning_rate must be a number in [1e-12, 1000], got -1"),
        (["--try_beta=0.9", "--validation_per_class=0"], "never on the test set"),
        (["--try_beta=0.9,1.5"], "--beta must be a number in [0, 1)"),
        (["--try_beta=0.9", "--method=fixmatch"], "--beta is not read by --method=fixmatch"),
        (["--try_beta="], "--try_beta must be at least one value, with commas between several,"),
        (["--try_beta=0.9", "--seeds="], "--seeds must be at least one value"),
        (["--try_beta=0.9", "--seed=7"], "--seed is set by --seeds here and must be left out"),
        (["--try_beta=0.9", "--workdir=x"], "--workdir is set by --runs here and must be left out"),
        (["--try_beta=0.9,0.99", "--beta=0.9"], "--beta is set by --try_beta here and must be"),
        (["--try_beta=0.9", "--seeds=0,1,0"], "--beta=0.9 with --seed=0 is there twice; give each"),
        (["--try_lambda_u=.5,1,0.50"], "--lambda_u=0.50 with --seed=0 is there twice"),
        (["--try_beta=.9,0.90"], "--beta=0.90 with --seed=0 is there twice"),
        (["--try_beta=0.9", "--runs="], "--runs must be the name of a folder, got ''."),
        (["--try_beta=0.9", "--fresh"], "--fresh must be left out: finished runs are kept; give"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_runs(started, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not started


def test_a_table_and_a_folder_may_have_pictures_for_validation(started, capsys, tmp_path):
    table = tmp_path / "table.csv"
    words = ["sweep", "--dataset=csv", f"--labels_csv={table}", "--try_beta=0.9", "--steps=250"]
    for name in "123":
        (tmp_path / f"{name}.png").touch()
    rows = "path,label,split\n1.png,cat,\n2.png,dog,\n3.png,cat,{}\n"
    table.write_text(rows.format("test"))
    with pytest.raises(SystemExit) as caught:
        sweep.main(words)
    assert caught.value.code == 2
    assert "or pictures for validation be given" in capsys.readouterr().err
    table.write_text(rows.format("validation"))
    sweep.main(words)
    folders = ["--dataset=folder", "--labeled_dir=l", "--validation_dir=v"]
    sweep.main([words[0], *folders, *words[3:]])
    assert len(started) == 2


def test_scores_of_other_pictures_do_not_choose(started, capsys, tmp_path):
    for name in ("cats/a/1.png", "cats/b/1.png", "held/a/2.png", "held/b/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    words = ["sweep", "--dataset=folder", "--labeled_dir=cats", "--validation_dir=held"]
    words += ["--steps=250", "--image_size=8", "--runs=runs"]
    sweep.main([*words, "--try_beta=0.9"])
    path = tmp_path / "runs" / "beta0.9" / "seed0" / "record.json"
    record = json.loads(path.read_text())
    rows = np.arange(4)
    split = data.Split(rows[:2], rows[:0], rows[2:])
    record["dataset"] |= {"labeled_counts": [1, 1], "split_checksum": split.checksum()}
    record["dataset"] |= {"test_counts": None}
    path.write_text(json.dumps(record))
    sweep.main([*words, "--try_beta=0.9"])
    assert len(started) == 1
    capsys.readouterr()
    # Found when all have run, and before any does where the finished ones tell.
    with pytest.raises(SystemExit) as caught:
        sweep.main([*words, "--try_beta=0.9,0.99"])
    assert caught.value.code == 2
    assert "record.json are of different pictures; give other --runs." in capsys.readouterr().err
    Image.new("RGB", (3, 3)).save(tmp_path / "cats/b/3.png")
    with pytest.raises(SystemExit) as caught:
        sweep.main([*words, "--try_beta=0.9,0.999"])
    assert caught.value.code == 2
    said = f"{path.relative_to(tmp_path)} is of other pictures than lie there now: it had 1 labeled"
    assert f"{said} picture of b, now 2; give other --runs." in capsys.readouterr().err
    assert len(started) == 2


def test_a_run_that_went_further_than_the_others_does_not_choose(started, capsys):
    run("--try_beta=0.9")
    path = pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0/record.json")
    with pytest.raises(SystemExit) as caught:
        run("--try_beta=0.9,0.999", "--stop_at_step=50")
    assert caught.value.code == 2
    assert f"{path} has 100 steps, more than --stop_at_step=50" in capsys.readouterr().err
    assert len(started) == 1


@pytest.mark.parametrize("fault", ["hparams", "sweep.md", "rename"])
def test_what_cannot_be_written_at_the_end_is_one_line(started, capsys, monkeypatch, fault):
    folder = pathlib.Path("runs/sweep/digits/drw")
    folder.mkdir(parents=True)
    earlier = folder / "sweep.md"
    earlier.write_text("earlier")
    if fault == "hparams":
        (folder / "hparams").write_text("a file in the place of the folder")
    elif fault == "sweep.md":
        earlier.unlink()
        earlier.mkdir()
    else:

        def full(source, destination):
            raise OSError(28, "No space left on device", str(destination))

        monkeypatch.setattr("os.replace", full)
    with pytest.raises(SystemExit) as caught:
        run("--try_beta=0.9")
    assert caught.value.code == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("sweep: ")
    assert ("hparams" if fault == "hparams" else "sweep.md") in line
    # What was measured is told, and an earlier file stays whole.
    assert "chosen on held-out pictures: --beta=0.9" in printed.out
    if fault == "rename":
        assert earlier.read_text() == "earlier"
    assert {path.name for path in folder.iterdir()} <= {"beta0.9", "hparams", "sweep.md"}


def test_a_run_that_left_no_record_is_one_line(started, capsys, monkeypatch):
    monkeypatch.setattr(child, "train", lambda words, workdir: None)
    with pytest.raises(SystemExit) as caught:
        run("--try_beta=0.9")
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "runs/sweep/digits/drw/beta0.9/seed0/record.json" in line


def test_sigterm_between_two_runs_is_the_code_of_a_stop(started, stopped_between_runs):
    with stopped_between_runs():
        run("--try_beta=0.9,0.999")
    assert len(started) == 1


def test_what_is_no_record_is_named(started, capsys):
    path = pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0/record.json")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(SystemExit) as caught:
        run("--try_beta=0.9")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"sweep: {path} is not a record")


def test_runs_of_another_setting_or_without_validation_are_refused(started, capsys):
    run("--try_beta=0.9")
    with pytest.raises(SystemExit):
        run("--try_beta=0.9", "--steps=200")
    assert "--steps: was 100, now 200" in capsys.readouterr().err
    path = pathlib.Path("runs/sweep/digits/drw/beta0.9/seed0/record.json")
    found = json.loads(path.read_text())
    del found["history"][-1]["validation"]
    path.write_text(json.dumps(found))
    with pytest.raises(SystemExit):
        run("--try_beta=0.9")
    assert "has no evaluation of held-out pictures" in capsys.readouterr().err
    assert len(started) == 1
