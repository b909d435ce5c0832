"""The plan of the evidence: every command of it is one that the programs take."""

import pathlib
import subprocess
import sys

import pytest

from drw_tf import adjusted_run, compare, recipes
from drw_tf import config as configuration

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "evidence.py"


def listed(*arguments):
    words = [sys.executable, str(SCRIPT), "--list", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def values(line):
    words = line.split()[3:]
    return [word for word in words if word.startswith("--")]


def test_every_training_resolves_to_the_same_budget(monkeypatch):
    monkeypatch.chdir(ROOT)
    trainings = [line for line in listed() if "drw_tf.compare" in line]
    assert len(trainings) == len({*trainings}) > 60
    for line in trainings:
        own, rest = configuration.split_arguments(values(line), compare._TABLE)
        settings = configuration.parse(["compare", *own], compare._TABLE)
        (method,), (seed,) = settings["methods"], settings["seeds"]
        words = ["train", *rest, f"--method={method}", f"--seed={seed}"]
        config = configuration.resolve(configuration.parse(words))
        assert (config.protocol, config.steps) == ("small_budget", 10_000)
        assert config.model == "wide_resnet_10_1"
        own_threshold = recipes.RECIPES[method].defaults.get("threshold", 0.8)
        assert config.threshold in (None, own_threshold)


def test_only_the_parts_that_are_named_are_listed():
    trainings = [line for line in listed("beta", "r50") if "drw_tf.compare" in line]
    folders = {word for line in trainings for word in values(line) if word.startswith("--results=")}
    names = ("r50", *(f"r100_beta_{value}" for value in ("0.9", "0.99", "0.999")))
    assert folders == {f"--results=results/cifar10_{name}" for name in names}


def test_judgements_follow_their_run_and_are_of_recipes_that_add_logit_adjustment():
    lines = listed("r100", "--seeds=1")
    for index, line in enumerate(lines):
        if "drw_tf.evaluate" not in line:
            continue
        given = dict(word[2:].split("=", 1) for word in values(line))
        training = next(one for one in reversed(lines[:index]) if "drw_tf.compare" in one)
        _, name, method, seed = given["workdir"].split("/")
        assert f"--methods={method} --seeds={seed.removeprefix('seed')}" in training
        assert f"--runs=runs/{name} " in training
        config = configuration.resolve({"method": method})
        prior = {"la_prior": given["la_prior"]}
        assert adjusted_run.configuration_as(config, given["as_method"], prior)
    assert sum("drw_tf.evaluate" in line for line in lines) == 8


def test_a_run_that_another_process_is_at_is_left_to_it(load, tmp_path, monkeypatch):
    evidence = load("evidence")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evidence.repository, "ROOT", tmp_path)
    begun = []

    def begin(command):
        begun.append(command)
        if "drw_tf.compare" in command:
            words = dict(word[2:].split("=", 1) for word in command if "=" in word)
            folder = tmp_path / words["runs"] / words["methods"] / f"seed{words['seeds']}"
            folder.mkdir(parents=True, exist_ok=True)
        return 0

    monkeypatch.setattr(evidence.child, "run", begin)
    monkeypatch.setattr(sys, "argv", ["evidence.py", "beta"])
    plan = evidence.planned(["beta"], [0, 1, 2])
    (row, seed), *others = plan
    held = "import fcntl, sys; file = open(sys.argv[1], 'wb'); fcntl.flock(file, fcntl.LOCK_EX)"
    with evidence.claim(row, seed) as is_ours:
        assert is_ours
    claimed = tmp_path / "runs" / row.name / row.method / f"seed{seed}.claim"
    words = [sys.executable, "-c", f"{held}; print('held', flush=True); input()", str(claimed)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        evidence.main()
        other.communicate("\n")
    trainings = [row.training(seed)[1:] for row, seed in plan]
    judgements = [command[1:] for row, seed in others for _, command in row.judgements(seed)]
    assert sorted(command[1:] for command in begun) == sorted([*trainings[1:], *judgements])
    begun.clear()
    evidence.main()
    assert trainings[0] in [command[1:] for command in begun]


def test_a_judgement_of_an_earlier_run_is_made_anew(load, tmp_path, monkeypatch):
    evidence = load("evidence")
    monkeypatch.chdir(tmp_path)
    row = evidence._r100("drw", 0)
    (tmp_path / "results" / row.name).mkdir(parents=True)
    judged = pathlib.Path("results", row.name, "drw_la_seed0.json")
    kept = pathlib.Path("results", row.name, "drw_seed0.json")
    assert not evidence.is_of(judged, row, 0)
    judged.write_text('{"seconds": 1234.5678}')
    for seconds, same in (("1234.57", True), ("1234.9", False)):  # as records are shortened
        kept.write_text(f'{{"seconds": {seconds}}}')
        assert evidence.is_of(judged, row, 0) is same


def test_a_run_of_another_machine_is_not_judged_again(load, tmp_path, monkeypatch, capsys):
    evidence = load("evidence")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evidence.repository, "ROOT", tmp_path)
    begun = []
    monkeypatch.setattr(evidence.child, "run", lambda command: begun.append(command) or 0)
    monkeypatch.setattr(sys, "argv", ["evidence.py", "beta"])
    evidence.main()
    assert not [command for command in begun if "drw_tf.evaluate" in command]
    said = capsys.readouterr().out
    assert "drw_la_pseudo_seed0.json: runs/cifar10_r100_beta_0.9/drw/seed0 is not there" in said


@pytest.mark.parametrize("arguments", [["r10"], ["--seeds=a"]])
def test_a_part_or_seed_that_is_none_is_refused(arguments):
    words = [sys.executable, str(SCRIPT), *arguments]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "must be" in found.stderr.splitlines()[-1]
