"""Every benchmark at its smallest size: what is printed, never how long it took."""

import re

import pytest

TINY = ("--rounds=1", "--round_steps=1", "--batch_size=4")


def rows(text, title):
    """Cells of the table whose head begins with this title, without its head."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("| ").split("|")])
    return found


@pytest.mark.slow
def test_step_prints_ratios_and_the_counted_operations(run):
    text = run(
        "benchmark_step.py",
        *TINY,
        "--shape=8,8,1",
        "--rows=40",
        "--model=wide_resnet_10_1",
        "--peak_side=16",
        "--pairs=2",
        "--protocol=darp",
    )
    names = [row[0] for row in rows(text, "what")]
    assert names == [
        "network alone",
        "step, resident batch",
        "the same, plain method",
        "step, input pipeline",
        "training loop",
    ]
    assert rows(text, "what")[0][2] == "1.000"
    # wide_resnet_10_1 on 8 x 8 x 1: 3 x 3 kernels and 1 x 1 shortcuts, then the head.
    stem = 64 * 9 * 16
    forward = stem + 64 * 9 * 16 * 16 * 2 + 16 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
    forward += 4 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) + 64 * 10
    # Four weak pictures without a tape; four labeled and eight strong ones with it.
    total = 2 * (4 * forward + 12 * (3 * forward - stem)) / 1e9
    step, alone = re.search(r"step: (\S+) GFLOP; network alone: (\S+) GFLOP", text).groups()
    assert float(step) == pytest.approx(total, rel=1e-3)
    assert float(alone) == pytest.approx(total, rel=1e-3)
    paired = "drw over fixmatch, median of 2 pairs: "
    for line in (paired, "pipeline over resident batch: ", "peak memory: "):
        assert re.search(rf"^{line}\d", text, re.MULTILINE)
    assert "epochs of 500 and checkpoints every 500 steps" in text


@pytest.mark.slow
def test_scaling_prints_a_line_for_each_size(run):
    text = run(
        "benchmark_scaling.py",
        *TINY,
        "--shape=8,8,1",
        "--model=wide_resnet_10_1",
        "--classes=3,20",
        "--rows=100,1e3",
        "--ratios=1,2",
        "--small_steps=1",
        "--pairs=2",
    )
    assert [row[0] for row in rows(text, "classes")] == ["3", "20"]
    assert [row[0] for row in rows(text, "unlabeled pictures")] == ["100", "1000"]
    assert [row[0] for row in rows(text, "mu")] == ["1", "2"]
    assert all(row[4].endswith("%") for row in rows(text, "classes"))


@pytest.mark.slow
def test_predict_prints_ratios(run):
    small = ("--pictures=6", "--side=16", "--image_size=8", "--rounds=1", "--batch_size=4")
    text = run("benchmark_predict.py", *small, "--model=wide_resnet_10_1")
    names = [row[0] for row in rows(text, "what")]
    assert names == [
        "network, resident batch",
        "evaluation",
        "export",
        "decoding a folder",
        "predicting a folder",
    ]
    assert re.search(r"^evaluation over the network: \d", text, re.MULTILINE)
    assert re.search(r"^folder over its decoding: \d", text, re.MULTILINE)


def test_without_pytorch_one_line_says_so(run, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    said = run("benchmark_against_pytorch.py", f"--pytorch={python}", code=2)
    assert said.startswith(f"benchmark_against_pytorch: --pytorch={python} has no PyTorch")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_both_sides_begin_with_the_same_loss(run):
    pytest.importorskip("torch")
    text = run(
        "benchmark_against_pytorch.py",
        *TINY,
        "--depth=10",
        "--width=1",
        "--shape=8,8,3",
        "--forward=joint",
        "--nocompiled",
    )
    weights, ours, theirs = re.search(
        r"both: (\d+) weights, first loss (\S+) and (\S+);", text
    ).groups()
    assert int(weights) > 70_000
    assert float(ours) == pytest.approx(float(theirs), rel=1e-3)
    assert [row[0] for row in rows(text, "side")] == ["ours", "PyTorch"]
    assert re.search(r"^PyTorch's better form over ours, joint: \d", text, re.MULTILINE)


@pytest.mark.slow
def test_darp_prints_a_refinement_beside_the_steps_between_two(run):
    settings = "--step_flags=batch_size=2,model=wide_resnet_10_1"
    text = run("benchmark_darp.py", "--darp_rounds=1", "--darp_steps=1", settings)
    found = re.search(
        r"of 11163 x 10: (.*) ms, every 10 steps of (.*) ms: (.*) % of the time", text
    )
    refresh, step, share = map(float, found.groups())
    # The step is printed without decimals.
    assert 100 * refresh / (refresh + 10 * (step + 1)) <= share + 0.1
    assert share - 0.1 <= 100 * refresh / (refresh + 10 * (step - 1))
