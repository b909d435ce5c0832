"""What `python -m drw_tf.export` and `python -m drw_tf.evaluate` do with runs, and without."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from drw_tf import command, evaluate, export, finished_run
from drw_tf import config as configuration
from drw_tf import run_folder as run_folders
from drw_tf.data import identity
from drw_tf.report import groups, record_file
from drw_tf.training import workdir
from tests import records, small_export, small_network

PROGRAMS = {"export": export, "evaluate": evaluate}
REPOSITORY = pathlib.Path(__file__).parents[1]


def refusal(capsys, program, *arguments):
    """The one line on standard error of a program that exits with 2."""
    with pytest.raises(SystemExit) as exit_:
        PROGRAMS[program].main([f"drw_tf.{program}", *map(str, arguments)])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"{program}: ")
    return line


@pytest.fixture
def fake_run(tmp_path):
    """A folder that looks like a run, as far as flags go."""
    (tmp_path / "checkpoints" / "step_000000100").mkdir(parents=True)
    config = dict(configuration.resolve({"steps": 100, "method": "drw"}))

    def write(**changed):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changed}))
        return tmp_path

    write()
    return SimpleNamespace(folder=tmp_path, write=write)


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_run_there_is_one_line_and_exit_code_2(capsys, tmp_path, program):
    assert "--workdir must be given" in refusal(capsys, program)
    line = refusal(capsys, program, f"--workdir={tmp_path}/nowhere")
    assert "--workdir must be the folder of a trained run" in line
    (tmp_path / "config.json").write_text("{}")
    assert "has no checkpoint yet; train first" in refusal(capsys, program, f"--workdir={tmp_path}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_unknown_flags_and_stray_words_are_refused(capsys, fake_run, program):
    where = f"--workdir={fake_run.folder}"
    assert "'colour'" in refusal(capsys, program, where, "--colour=red")
    assert "every argument must be a flag" in refusal(capsys, program, where, "red")


@pytest.mark.parametrize(
    "words",
    [
        *([program, "--nosuch=1"] for program in command.programs()),
        *([program, "--workdir=nowhere"] for program in PROGRAMS),
    ],
)
def test_a_refusal_is_one_line_and_takes_no_tensorflow(words, tmp_path):
    code = (
        "import atexit, sys; from drw_tf import command\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules, 'scipy' in sys.modules))\n"
        f"command.main(['drw-tf', *{words}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (2, ["False", "False"]), done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "no_such"}, "--method must be one of"),
        ({"dataset": "../../etc"}, "--dataset must be one of"),
        ({"batch_size": -1}, "--batch_size must be a whole number in [1, 1000000000], got -1"),
        ({"batch_size": "many"}, "config.json: "),
        ({"lambda_u": [1]}, "config.json: "),
        ({"payload": "x"}, "of another version of drw_tf: it has the unknown --payload"),
    ],
)
def test_a_configuration_from_somebody_else_is_checked(capsys, fake_run, changed, message):
    folder = fake_run.write(**changed)
    assert message in refusal(capsys, "evaluate", f"--workdir={folder}")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\0"])
def test_a_broken_configuration_is_one_line(capsys, fake_run, text):
    (fake_run.folder / "config.json").write_text(text)
    assert "config.json" in refusal(capsys, "export", f"--workdir={fake_run.folder}")


def test_a_flag_younger_than_the_run_may_be_missing_if_no_result_depends_on_it(fake_run):
    config = json.loads((fake_run.folder / "config.json").read_text())
    del config["tensorboard"], config["data_dir"]
    (fake_run.folder / "config.json").write_text(json.dumps(config))
    assert run_folders.configuration_of(fake_run.folder).batch_size == config["batch_size"]
    del config["batch_size"]
    (fake_run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(configuration.ConfigError, match="it lacks --batch_size"):
        run_folders.configuration_of(fake_run.folder)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_lists_the_flags(capsys, program):
    with pytest.raises(SystemExit) as exit_:
        PROGRAMS[program].main([program, "--help"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"python -m drw_tf.{program}")
    assert "--workdir" in printed


# With a run


@pytest.fixture(scope="module", autouse=True)
def _network():
    with pytest.MonkeyPatch.context() as patch:
        small_network.stand_in(patch)
        yield


def trained(folder, **given):
    """The record of twenty deterministic steps, on one device."""
    from drw_tf import session

    values = {
        "workdir": str(folder),
        "steps": 20,
        "steps_per_epoch": 10,
        "checkpoint_steps": 10,
        "batch_size": 16,
        "unlabeled_ratio": 1,
        "reweight_start": 0.5,
        "deterministic": True,
        "strategy": "one_device",
        "validation_per_class": 1,
        "tensorboard": False,
        "export": False,
    }
    return session.train(configuration.resolve({**values, **given}), ["test"])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Of a run with adjusted logits."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trained(folder, method="drw_la")
    return folder


def table_of(capsys, folder):
    evaluate.main(["evaluate", f"--workdir={folder}"])
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_data_may_have_been_moved_since(capsys, caplog, tmp_path):
    from drw_tf import session

    before, after = tmp_path / "before", tmp_path / "after"
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3))):
        path = before / f"class_{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    given = {"dataset": "folder", "labeled_dir": str(before), "image_size": 8}
    given |= {"method": "supervised", "model": "small_resnet", "workdir": str(tmp_path / "run")}
    given |= {"steps": 2, "steps_per_epoch": 2, "batch_size": 2, "tensorboard": False}
    given |= {"validation_per_class": 1}
    session.train(configuration.resolve(given), ["test"])
    capsys.readouterr()
    before.rename(after)
    run = f"--workdir={tmp_path}/run"
    for program in PROGRAMS:
        line = refusal(capsys, program, run)
        assert f"--labeled_dir={before}, as the run was told, is not there" in line
        assert line.endswith("; give --labeled_dir.")
        line = refusal(capsys, program, run, f"--labeled_dir={tmp_path}/typed")
        assert line == f"{program}: --labeled_dir={tmp_path}/typed is not a folder."
    line = refusal(capsys, "export", run, f"--labeled_dir={after}", f"--out={after}/export")
    assert line == f"export: --out must lie outside --labeled_dir={after}, got {after}/export."
    assert not (after / "export").exists()
    export.main(["export", run, f"--labeled_dir={after}", f"--out={tmp_path}/export"])
    assert (tmp_path / "export" / "saved_model.pb").exists()
    shutil.copytree(after, tmp_path / "test")
    evaluate.main(["evaluate", run, f"--labeled_dir={after}", f"--test_dir={tmp_path}/test"])
    assert "6 test pictures" in capsys.readouterr().out
    assert "is not read by" in refusal(capsys, "export", run, "--labels_csv=table.csv")
    (after / "class_0" / "late.png").write_bytes(b"no picture")
    words = [run, f"--labeled_dir={after}"]
    for program in PROGRAMS:
        assert "--on_bad_image=skip leaves them out" in refusal(capsys, program, *words)
    words += [f"--test_dir={tmp_path}/test", "--on_bad_image=skip"]
    evaluate.main(["evaluate", *words])
    assert "6 test pictures" in capsys.readouterr().out
    export.main(["export", *words, f"--out={tmp_path}/again"])
    assert (tmp_path / "again" / "saved_model.pb").exists()
    out = _judged_on_others(capsys, caplog, words, after, tmp_path / "run")
    assert "validation" not in out
    export.main(["export", *words, f"--out={tmp_path}/others"])
    card = (tmp_path / "others" / "MODEL_CARD.md").read_text()
    begun_with = json.loads((tmp_path / "run" / "data.json").read_text())
    assert f"split checksum `{begun_with['split']}`" in card
    rows = [line.split() for line in card.splitlines() if line.startswith(r"| class\_0")]
    assert rows[0] == ["|", r"class\_0", "|", "2", "|", "0", "|", "1", "|"]
    capsys.readouterr()
    line = refusal(capsys, "export", *words, "--export_temperature=fit")
    assert "needs pictures that were held out, there are none" in line


def _judged_on_others(capsys, caplog, words, labeled, run):
    """What evaluate prints once a picture of the run has another name, and another one came."""
    (labeled / "class_0" / "0.png").rename(labeled / "class_0" / "8.png")
    caplog.clear()
    evaluate.main(["evaluate", *words])
    assert f"{run} was trained on other pictures: the files have other names" in caplog.text
    assert "none is judged as held out" in caplog.text
    shutil.copy(labeled / "class_0" / "2.png", labeled / "class_0" / "9.png")
    (run / "record.json").unlink()  # as of a run that is still trained
    return capsys.readouterr().out


def test_evaluate_prints_what_the_record_has(capsys, run_folder):
    lines = table_of(capsys, run_folder)
    record = json.loads((run_folder / "record.json").read_text())
    last, held_out = record["last_metrics"], record["history"][-1]["validation"]
    assert lines[0] == "drw_la on digits, seed 0, step 20"
    assert lines[2].split() == ["labeled", "test", "averaged", "unadjusted", "raw"]
    columns = ("ema", "ema_unadjusted", "raw")
    for line, key in ((lines[3], "balanced_accuracy"), (lines[5], "geometric_mean")):
        assert line.split()[-3:] == [f"{100 * last[name][key]:.1f}" for name in columns]
    second = lines.index("10 validation pictures")
    found = dict(zip(columns, lines[second + 2].split()[-3:], strict=True))
    assert found == {name: f"{100 * held_out[name]['balanced_accuracy']:.1f}" for name in columns}
    recalls = [line.split()[-3:] for line in lines[second - 10 : second]]
    expected = [[f"{100 * last[name]['recall'][c]:.1f}" for name in columns] for c in range(10)]
    assert recalls == expected


@pytest.fixture(scope="module")
def unadjusted_folder(tmp_path_factory):
    """Of a run whose method does not adjust logits."""
    folder = tmp_path_factory.mktemp("unadjusted") / "run"
    trained(folder, method="drw")
    return folder


@pytest.mark.parametrize(
    "given",
    [
        {},
        pytest.param({"la_prior": "effective"}, marks=pytest.mark.slow),
        pytest.param({"la_prior": "pseudo"}, marks=pytest.mark.slow),
    ],
)
def test_a_run_is_judged_as_the_method_that_adds_logit_adjustment(
    capsys, tmp_path, unadjusted_folder, run_folder, given
):
    if given:
        expected = trained(tmp_path / "adjusted", method="drw_la", **given)
    else:
        expected = record_file.read_record(run_folder / "record.json")
    out = tmp_path / "kept.json"
    words = [f"--{name}={value}" for name, value in given.items()]
    words += [f"--workdir={unadjusted_folder}", "--as_method=drw_la", f"--out={out}"]
    evaluate.main(["evaluate", *words])
    assert capsys.readouterr().out.startswith("drw_la on digits, seed 0, step 20\n")
    got = json.loads(out.read_text())
    assert got["configuration"] == {
        **expected["configuration"],
        "workdir": str(unadjusted_folder),
    }
    for network in ("ema", "ema_unadjusted"):
        assert got["last_metrics"][network] == expected["last_metrics"][network]
        assert got["final"][network]["balanced_accuracy"]["evaluations"] == 1
    # To choose the prior by, which is nothing of the test pictures.
    assert got["history"][-1]["validation"] == {
        network: expected["history"][-1]["validation"][network]
        for network in ("ema", "ema_unadjusted")
    }
    assert got["last_metrics"]["ema"] != got["last_metrics"]["ema_unadjusted"]


def test_a_run_that_adjusts_logits_is_judged_by_another_prior_in_place_of_its_own(
    capsys, tmp_path, run_folder
):
    from drw_tf.ops import summary

    out = tmp_path / "kept.json"
    words = [f"--workdir={run_folder}", "--as_method=drw_la", f"--out={out}"]
    evaluate.main(["evaluate", *words, "--la_strength=0.5"])
    assert capsys.readouterr().out.startswith("drw_la on digits, seed 0, step 20\n")
    got, own = (record_file.read_record(path) for path in (out, run_folder / "record.json"))
    run, _ = finished_run.open_run(run_folder)
    logits, counts = run.logits(run.dataset.test), run.method.facts.labeled_counts
    # Equation of logit adjustment with the labeled counts, the run's own prior, once.
    adjusted = logits - 0.5 * np.log(counts / counts.sum())
    for network, expected in (("ema", adjusted), ("ema_unadjusted", logits)):
        numbers = summary.summarize(run.dataset.test.labels, expected, counts)
        for name in ("loss", "balanced_accuracy", "ece"):
            assert got["last_metrics"][network][name] == pytest.approx(numbers[name], rel=1e-5)
    assert got["last_metrics"]["ema"]["loss"] != own["last_metrics"]["ema"]["loss"]
    changed = got["configuration"].items() - own["configuration"].items()
    assert changed == {("la_strength", 0.5)}
    # Each stands in a row of its own.
    (setting,), dropped = groups.settings([own, got], groups.DEFAULTS)
    assert dropped == []
    assert {one.name: one.is_judged for one in setting.variants} == {
        "drw_la, la_strength 1.0": False,
        "drw_la, la_strength 0.5": True,
    }


def test_by_another_prior_a_run_is_judged_as_one_without_any(
    tmp_path, run_folder, unadjusted_folder
):
    made = []
    for name, folder in (("own", run_folder), ("none", unadjusted_folder)):
        out = tmp_path / f"{name}.json"
        words = [f"--workdir={folder}", "--as_method=drw_la", "--la_prior=effective"]
        evaluate.main(["evaluate", *words, f"--out={out}"])
        made.append(record_file.read_record(out))
    assert made[0]["last_metrics"] == made[1]["last_metrics"]
    assert made[0]["history"][-1].keys() == made[1]["history"][-1].keys()


@pytest.mark.parametrize(
    ("own", "out", "message"),
    [
        ({"labeled_dir": "a"}, None, "--workdir={folder} has no test pictures; give --test_dir."),
        (
            {"dataset": "csv", "labels_csv": "a.csv"},
            None,
            "--workdir={folder} has no test pictures; give rows of the split test in --labels_csv.",
        ),
        # Its record would be of other data than the run.
        ({"labeled_dir": "a"}, "x.json", "--workdir={folder} has no test pictures, which --out"),
        (None, None, "made up has no test pictures."),
    ],
)
def test_a_run_without_pictures_to_judge_is_refused_by_what_to_give(
    capsys, fake_run, monkeypatch, own, out, message
):
    given = {"dataset": "digits"} if own is None else {"dataset": "folder", **own}
    run = SimpleNamespace(
        config=configuration.resolve(given),
        dataset=SimpleNamespace(name="made up"),
        split=None,
        judges=lambda progress: {"test": None},
    )
    monkeypatch.setattr(finished_run, "open_run", lambda *_, **__: (run, {}))
    monkeypatch.setattr(identity, "facts", lambda *_: {})
    words = ["--as_method=drw_la", f"--out={fake_run.folder / out}"] if out else []
    line = refusal(capsys, "evaluate", f"--workdir={fake_run.folder}", *words)
    assert line.startswith(f"evaluate: {message.format(folder=fake_run.folder)}")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("missing/kept.json", "kept.json cannot be written: {folder}/missing: No such file or"),
        ("thesis.txt/kept.json", "kept.json cannot be written: {folder}/thesis.txt: Not a direc"),
        ("record.json", "must be none of the run's own files, got {folder}/record.json: {folder}/"),
        ("config.json", "must be none of the run's own files"),
        ("checkpoints/kept.json", "kept.json: {folder}/checkpoints is one."),
        ("link/kept.json", "kept.json: {folder}/checkpoints is one."),
        ("export", "must be none of the run's own files"),
        ("thesis.txt", "new or an earlier record of --as_method, {folder}/thesis.txt is something"),
        ("latin.txt", "new or an earlier record of --as_method, {folder}/latin.txt is something"),
        ("trained.json", "{folder}/trained.json is something else."),
        ("other", "{folder}/other is something else."),
    ],
)
def test_what_is_no_record_of_another_method_is_not_overwritten(capsys, fake_run, out, message):
    folder = fake_run.folder
    (folder / "thesis.txt").write_text("years of work")
    (folder / "latin.txt").write_bytes(b"\xff")
    (folder / "other").mkdir()
    (folder / "link").symlink_to("checkpoints")
    config = configuration.resolve({"method": "drw"})
    record_file.write_record(folder / "trained.json", records.record_of(config, [], steps=30))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = (f"--workdir={folder}", "--as_method=drw_la", f"--out={folder / out}")
    line = refusal(capsys, "evaluate", *words)
    assert line.startswith("evaluate: --out")
    assert message.format(folder=folder) in line
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("there", [False, True])
def test_a_record_of_another_method_may_be_new_or_take_the_place_of_one(
    fake_run, monkeypatch, there
):
    out = fake_run.folder / "kept.json"
    if there:
        earlier = records.record_of(configuration.resolve({"method": "drw"}), [], steps=30)
        command = ["python", "-m", "drw_tf.evaluate", "--as_method=drw_la"]
        record_file.write_record(out, {**earlier, "command_line": command})

    def opened(*_, **__):
        raise KeyError("the run was opened")

    monkeypatch.setattr(finished_run, "open_run", opened)
    words = (f"--workdir={fake_run.folder}", "--as_method=drw_la", f"--out={out}")
    with pytest.raises(KeyError, match="the run was opened"):
        evaluate.main(["evaluate", *words])


def test_an_epoch_that_counted_nothing_is_judged_by_the_one_before(monkeypatch):
    from drw_tf import adjusted_run
    from drw_tf.rebalance import base, logit_adjustment

    seen = []
    monkeypatch.setattr(
        logit_adjustment.LogitAdjustment, "end_epoch", lambda self, one: seen.append(one)
    )
    config = configuration.resolve({"method": "drw_la", "la_prior": "pseudo"})
    facts = base.Facts(2, np.array([2.0, 1.0]), 10, 20, 10)
    method = SimpleNamespace(facts=facts, rebalancers=())
    history = [{"pseudo_numbers": [6.0, 4.0]}, {"pseudo_numbers": [7.0, 3.0]}, {}]
    adjusted_run.adjustment(
        SimpleNamespace(method=method), {"step": 30, "history": history}, config
    )
    np.testing.assert_array_equal(seen[0].pseudo_numbers, [7.0, 3.0])


def test_an_epoch_without_an_evaluation_is_judged_by_its_own_step():
    from drw_tf import adjusted_run

    config = configuration.resolve({"method": "drw", "steps": 50})
    earlier = records.record_of(config, [], steps=30)
    state = {"history": [], "unevaluated": {"step": 20, "pseudo_numbers": [3.0, 1.0]}}
    made = adjusted_run.record_of(earlier, state, config, {}, ["test"])
    assert [entry["step"] for entry in made["history"]] == [30]
    assert made["history"][0]["pseudo_numbers"] == [3.0, 1.0]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_judged_run_names_the_code_and_the_machine_of_its_training(parts):
    from drw_tf import adjusted_run

    config = configuration.resolve({"method": "drw", "steps": 50})
    code = {"versions": {"tensorflow": "2.14"}, "git": {"commit": "b", "dirty": False}}
    made_by = [{"from_step": 0, **code, "git": None}, {"from_step": 20, **code}]
    earlier = records.record_of(config, [], steps=30)
    earlier |= {**code, "machine": {"cpu": "trainer", "cores": 64, "gpus": []}}
    earlier |= {"made_by": made_by} if parts == 2 else {}
    state = {"history": [{"step": 30}]}
    made = adjusted_run.record_of(earlier, state, config, {}, ["test"])
    names = ("versions", "git", "machine", "seconds")
    assert {name: made[name] for name in names} == {name: earlier[name] for name in names}
    assert made.get("made_by") == (made_by if parts == 2 else None)
    assert made["command_line"] == ["test"]


def test_a_checkpoint_within_a_run_names_what_is_known_of_its_training(fake_run, monkeypatch):
    folder = workdir.Layout(fake_run.folder)
    code = {"versions": {"tensorflow": "2.14"}, "git": {"commit": "a", "dirty": False}}
    later = {**code, "git": {"commit": "b", "dirty": False}}
    config = configuration.resolve({"method": "drw", "steps": 50})
    written = records.record_of(config, [], steps=30)
    written["machine"] = {"cpu": "trainer", "cores": 64, "gpus": []}
    monkeypatch.setattr(identity, "recorded", lambda *_: written["dataset"])
    run = SimpleNamespace(config=config, dataset=None, split=None)

    def made(step):
        state = {"step": step, "history": [], "seconds": 1.0}
        return finished_run.record_of(folder.path, run, state)

    def found(step):
        names = ("command_line", "machine", "versions", "git")
        return tuple(made(step)[name] for name in names)

    # Of an earlier version of this program, before its end.
    assert found(10) == ([], {}, {}, None)
    folder.write_makers(json.dumps([{"from_step": 0, **code}, {"from_step": 20, **later}]))
    assert found(20) == ([], {}, code["versions"], code["git"])
    assert found(21) == ([], {}, later["versions"], later["git"])
    record_file.write_record(folder.record, written)
    told = written["command_line"], written["machine"]
    assert found(20) == (*told, code["versions"], code["git"])
    assert found(21) == (*told, later["versions"], later["git"])
    assert found(30) == (*told, written["versions"], written["git"])
    # It went on and has not ended yet.
    assert found(40) == ([], {}, later["versions"], later["git"])
    # Its data are those that it was begun with, whatever lies there now.
    assert made(40)["dataset"] == written["dataset"]
    begun = {
        "split_checksum": "f" * 16,
        "test_counts": [7] * len(written["dataset"]["class_names"]),
    }
    folder.write_data(json.dumps({"recorded": {**written["dataset"], **begun}}))
    assert made(40)["dataset"] == {**written["dataset"], **begun}
    assert made(20)["dataset"] == written["dataset"]


def test_a_test_picture_that_is_damaged_inside_is_named(capsys, tmp_path):
    from PIL import Image

    from drw_tf import session

    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    for number, picture in enumerate(noise):
        for part in ("labeled", "test"):
            path = tmp_path / part / f"class_{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    values = {"dataset": "folder", "method": "supervised", "steps": 2, "steps_per_epoch": 2}
    values |= {"labeled_dir": f"{tmp_path}/labeled", "test_dir": f"{tmp_path}/test"}
    values |= {"image_size": 16, "in_memory_gigabytes": 0, "batch_size": 2, "checkpoint_steps": 2}
    values |= {"tensorboard": False, "export": False, "model": "small_resnet"}
    values |= {"workdir": f"{tmp_path}/run"}
    session.train(configuration.resolve(values), ["test"])
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 255  # the header says nothing of it
    path.write_bytes(contents)
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["evaluate", f"--workdir={tmp_path}/run"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"evaluate: {path}: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--as_method=fixmatch_la"], "--as_method must be one of drw_la for a run of drw_la, got"),
        (["--as_method=drw_la"], "--as_method=drw_la must have another prior or strength than"),
        (["--la_prior=pseudo"], "--la_prior is read with --as_method only."),
        (["--out=x.json"], "--out is read with --as_method only."),
        (["--as_method=drw_la", "--la_strength=-1"], "--la_strength must be a number in [0, 10]"),
    ],
)
def test_a_run_is_not_judged_as_a_method_that_trains_otherwise(capsys, run_folder, words, message):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["evaluate", f"--workdir={run_folder}", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_exported_model_answers_like_the_run(capsys, run_folder, tmp_path, monkeypatch):
    from drw_tf.data import digits
    from drw_tf.serving import predictor

    small_export.stand_in(monkeypatch)
    export.main(["export", f"--workdir={run_folder}"])
    out = tmp_path / "adjusted"
    export.main(["export", f"--workdir={run_folder}", f"--out={out}", "--export_logit_adjustment"])
    printed = capsys.readouterr().out
    assert f"exported drw_la on digits, step 20, to {run_folder / 'export'}" in printed
    assert "logit adjustment: not in the exported model" in printed
    last = json.loads((run_folder / "record.json").read_text())["last_metrics"]
    test = digits.load().test
    for folder, network in ((run_folder / "export", "ema_unadjusted"), (out, "ema")):
        model = predictor.Predictor(folder)
        label = model.predict(test.pixels).label
        recall = [np.mean(label[test.labels == c] == c) for c in range(10)]
        np.testing.assert_allclose(recall, last[network]["recall"], atol=1e-9)
    assert model.logit_adjustment["la_prior"] == "labeled"


def test_a_copied_run_evaluates_the_same(capsys, run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "copy")
    assert table_of(capsys, tmp_path / "copy") == table_of(capsys, run_folder)


def test_damaged_checkpoints_are_named(capsys, caplog, run_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    checkpoints = sorted((copy / "checkpoints").glob("step_*"))
    for folder in checkpoints:
        (data,) = folder.glob("*.data*")
        os.truncate(data, 100)
    assert "are damaged" in refusal(capsys, "evaluate", f"--workdir={copy}")
    assert "checksum differs" in caplog.text


def test_any_checkpoint_can_be_opened_by_its_step(capsys, run_folder, tmp_path, monkeypatch):
    small_export.stand_in(monkeypatch)
    history = json.loads((run_folder / "record.json").read_text())["history"]
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    first = min(int(one.name[5:]) for one in (copy / "checkpoints").glob("step_*"))
    assert first < 20
    evaluate.main(["evaluate", f"--workdir={copy}", f"--step={first}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"step {first}")
    (entry,) = [one for one in history if one["step"] == first]
    expected = f"{100 * entry['test']['ema']['balanced_accuracy']:.1f}"
    assert lines[3].split()[-3] == expected
    held = workdir.Workdir(copy)  # as while it is trained
    export.main(["export", f"--workdir={copy}", f"--step={first}"])
    held.release()
    assert f"on digits, step {first}, to {copy / 'export'}" in capsys.readouterr().out
    line = refusal(capsys, "evaluate", f"--workdir={copy}", "--step=7")
    assert f"has no checkpoint of step 7, but of {first}, 20" in line
    (data,) = (copy / "checkpoints" / f"step_{first:09d}").glob("*.data*")
    os.truncate(data, 100)
    assert "is damaged" in refusal(capsys, "evaluate", f"--workdir={copy}", f"--step={first}")


def test_a_checkpoint_that_the_trainer_removes_meanwhile_is_chosen_again(
    run_folder, tmp_path, monkeypatch
):
    from drw_tf.training import checkpoint

    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    newest = checkpoint.Checkpoints.newest

    def removed(self):
        state = newest(self)
        shutil.rmtree(copy / "checkpoints" / "step_000000020", ignore_errors=True)
        return state

    monkeypatch.setattr(checkpoint.Checkpoints, "newest", removed)
    _, state = finished_run.open_run(copy)
    assert state["step"] == 10


def test_export_does_not_overwrite_what_is_not_an_export(capsys, run_folder):
    line = refusal(capsys, "export", f"--workdir={run_folder}", f"--out={run_folder}")
    assert "must be new or an earlier export, it has" in line
    assert (run_folder / "config.json").exists()


def test_adjustment_of_a_method_without_one_is_refused(capsys, run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("drw_tf.methods.base.Method.adjusts", False)
    line = refusal(
        capsys,
        "export",
        f"--workdir={run_folder}",
        f"--out={tmp_path / 'export'}",
        "--export_logit_adjustment",
    )
    assert "--export_logit_adjustment needs a method that adjusts logits" in line
    assert not (tmp_path / "export").exists()


# Exports at the end of training


@pytest.mark.parametrize(
    ("given", "exported", "finished"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"export": False}, False, True),
        ({"export_temperature": "2"}, True, False),
        ({"export_logit_adjustment": True}, True, False),
    ],
)
def test_a_finished_run_is_exported_again_where_the_export_would_differ(
    tmp_path, monkeypatch, given, exported, finished
):
    from drw_tf import session

    config = configuration.resolve({"method": "drw_la", "workdir": str(tmp_path), **given})
    # A record from before the flags of the export were there.
    earlier = {k: v for k, v in config.items() if not k.startswith("export_")}
    written = {"configuration": earlier, "steps": config.steps}
    monkeypatch.setattr("drw_tf.report.record_file.read_record", lambda path: written)
    folder = SimpleNamespace(record=tmp_path / "record.json", export=tmp_path / "export")
    assert not session._is_finished(config, folder)
    folder.record.touch()
    if exported:
        folder.export.mkdir()
    assert session._is_finished(config, folder) is finished


@pytest.mark.slow
def test_a_finished_run_trains_no_more_to_be_exported_otherwise(capsys, run_folder, tmp_path):
    from drw_tf import session
    from drw_tf.serving import predictor

    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    config = json.loads((copy / "config.json").read_text())
    changed = {"workdir": str(copy), "export": True, "export_temperature": "2"}
    given = {name: value for name, value in config.items() if value is not None}
    before = json.loads((copy / "record.json").read_text())
    after = session.train(configuration.resolve({**given, **changed}), ["again"])
    assert after["history"] == before["history"]
    assert predictor.Predictor(copy / "export").temperature == 2.0
    card = " ".join((copy / "export" / "MODEL_CARD.md").read_text().split())
    assert "# drw_la on digits, seed 0" in card
    assert before["dataset"]["split_checksum"] in card
    recall = before["last_metrics"]["ema_unadjusted"]["recall"][0]
    assert f"| 0 | {100 * recall:.1f} | " in card


def test_a_reader_that_has_seen_enough_is_no_error():
    code = (
        "from drw_tf import config\n"
        "with config.reader_may_leave(): print('x' * 1_000_000)\n"
        "print('more')"
    )
    done = subprocess.run(
        f'{shlex.quote(sys.executable)} -c "{code}" | head -c 5',
        shell=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("xxxxx", "")


def test_undefined_metrics_are_dashes():
    metrics = dict.fromkeys(
        ("balanced_accuracy", "accuracy", "geometric_mean", "many", "medium"), 0.5
    )
    found = {"ema": {**metrics, "few": float("nan"), "recall": [0.123, None]}}
    counts = {"labeled": [3, 0], "test": [7, 5]}
    lines = evaluate.metrics_table(found, ("a", "b"), counts).splitlines()
    assert lines[-2].split() == ["a", "3", "7", "12.3"]
    assert [line.split()[-1] for line in lines[-4:]] == ["-", "recall", "12.3", "-"]
