import pathlib

import pytest

from drw_tf.report import groups, pictures


@pytest.fixture
def saved(monkeypatch):
    """Figures that would have been written, by the stem of their path; nothing is written."""
    drawn = {}

    def save(made, stem):
        drawn[pathlib.PurePath(stem).name] = made

    monkeypatch.setattr(pictures.figures, "save", save)
    return drawn


def setting(runs, defaults=()):
    (found,), _ = groups.settings(runs, dict.fromkeys(defaults))
    return found


def test_every_picture_is_drawn_from_runs_that_have_all(make_record, saved, tmp_path):
    found = setting([make_record("fixmatch"), make_record("drw")])
    made = pictures.draw_setting(found, tmp_path)
    assert [one.title for one in made if one.missing] == []
    assert len(saved) == len(made) == 11
    captions = {one.stem.name: one.caption for one in made}
    assert captions["unlabeled_weights"].endswith("Without unlabeled weights: fixmatch.")
    precision = saved["pseudo_precision"].axes[0]
    assert precision.get_ylabel() == "precision of the pseudo-labels"
    # Class 2 of the session's records: .5 in every evaluation.
    assert list(precision.lines[2].get_ydata()) == [0.5] * 4
    reliability = saved["reliability"].axes[0]
    # 8 test images, confidence .75, accuracy .5.
    assert reliability.get_title(loc="left") == "fixmatch: ECE 25.0%"


def test_what_no_run_recorded_is_said_and_not_drawn(make_record, saved, tmp_path):
    run = make_record("supervised")
    for entry in run["history"]:
        for key in ("pseudo_numbers", "pseudo_recall", "confident_rate"):
            del entry[key]
    run["last_metrics"]["ema"].pop("reliability")
    made = {one.title: one for one in pictures.draw_setting(setting([run]), tmp_path)}
    missing = {title: one.missing for title, one in made.items() if one.missing}
    assert missing == {
        "Figure 2: pseudo numbers and their imbalance ratio": "no run here has pseudo-labels.",
        "Precision of the pseudo-labels": "no run here has pseudo-labels of pictures whose "
        "class is known.",
        "Recall of the pseudo-labels": "no run here has pseudo-labels of pictures whose "
        "class is known.",
        "Mask rate of each class": "no run here has a threshold, and the count of what passed it.",
        "Weights of the unlabeled loss": "no run here has unlabeled weights.",
        "Weights of the labeled loss": "no run here has labeled weights.",
        "Reliability diagrams": "no run here has calibration bins in their record.",
    }
    assert "confusion" in saved


def test_fixmatch_drw_and_then_the_best_are_drawn_or_what_was_asked_for(make_record):
    scores = {"vat": 0.9, "drw": 0.5, "crt": 0.1, "focal1": 0.8, "fixmatch": 0.4, "frwl": 0.7}
    runs = []
    for method, score in scores.items():
        runs.append(make_record(method))
        runs[-1]["final"]["ema"]["balanced_accuracy"]["last"] = score
    found = setting(runs)
    names = [one.name for one in pictures.chosen(found)]
    assert names == ["fixmatch", "drw", "vat", "focal1"]
    assert [one.name for one in pictures.chosen(found, ["crt", "drw"])] == ["crt", "drw"]


def test_a_run_judged_as_another_method_has_no_curves(make_record, saved, tmp_path):
    runs = [make_record(method) for method in ("fixmatch", "drw", "fixmatch_la", "vat", "crt")]
    runs[2]["history"] = runs[2]["history"][-1:]
    runs[2]["final"]["ema"]["balanced_accuracy"]["last"] = 1.0
    found = setting(runs)
    names = [one.name for one in pictures.chosen(found)]
    assert names == ["fixmatch", "drw", "vat", "crt"]
    made = pictures.draw_setting(found, tmp_path, ["drw", "fixmatch_la"])
    captions = {one.stem.name: one.caption for one in made}
    assert captions["figure5_losses"].endswith("test pictures: fixmatch_la.")
    assert "Without" not in captions["recall"]


def test_runs_left_out_of_a_picture_are_told_apart(make_record, saved, tmp_path):
    runs = [make_record("drw"), make_record("vat", beta="0.9"), make_record("vat", beta="0.5")]
    for run in runs[1:]:
        run["history"] = run["history"][-1:]
    found, _ = groups.settings(runs, {"beta": "auto"})
    made = {one.title: one for one in pictures.draw_setting(found[0], tmp_path)}
    # A variant's name has a comma of its own.
    caption = made["Weights of the labeled loss"].caption
    assert caption.endswith("Without labeled weights: vat, beta 0.9; vat, beta 0.5.")


@pytest.mark.parametrize(
    ("others", "means"),
    [
        ({1: 0.9}, [0.6, 0.85]),
        # Seed 1 has one beta alone, and is left out.
        ({}, [0.5, 0.8]),
    ],
)
def test_beta_has_a_line_a_ratio_with_the_seeds_of_all_its_betas(
    make_record, saved, tmp_path, others, means
):
    def run(beta, seed, score, ratio=20.0):
        # Labeled counts 40 to 10: --beta=auto is .999.
        made = make_record(beta=beta, seed=seed, imbalance_ratio=ratio, dataset="digits")
        made["final"]["ema"]["balanced_accuracy"]["last"] = score
        return made

    runs = [run("0.9", 0, 0.5), run("0.9", 1, 0.7), run("auto", 0, 0.8), run("literal", 0, 0.1)]
    runs += [run("auto", seed, score) for seed, score in others.items()]
    runs += [run("0.9", 0, 0.3, ratio=50.0)]
    found, _ = groups.settings(runs, {"beta": "auto"})
    (made,) = pictures.draw_betas(found, {"beta": "auto"}, tmp_path)
    assert made.missing is None
    (axes,) = saved["figure4_beta_digits"].axes
    # R = 50 has one beta, and literal is no number.
    (line,) = axes.containers
    assert line.get_label() == "drw, digits, R = 20, 200 steps"
    assert list(line.lines[0].get_ydata()) == pytest.approx(means)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.9", "0.999"]


def test_lines_of_other_flags_say_which(make_record, saved, tmp_path):
    starts = (0.0, 0.3)
    runs = [make_record(beta=b, reweight_start=s) for b in ("0.9", "0.99") for s in starts]
    defaults = {"beta": "auto", "reweight_start": None}
    found, _ = groups.settings(runs, defaults)
    pictures.draw_betas(found, defaults, tmp_path)
    (axes,) = saved["figure4_beta_digits"].axes
    names = [line.get_label() for line in axes.containers]
    assert names == [f"drw, reweight_start {start}, digits, 200 steps" for start in starts]


def test_without_two_betas_figure_4_is_not_drawn(make_record, saved, tmp_path):
    found, _ = groups.settings([make_record(beta="0.9")], {"beta": "auto"})
    (made,) = pictures.draw_betas(found, {"beta": "auto"}, tmp_path)
    assert made.missing == "no method was run with two values of --beta or more in one setting."
    assert not saved


def test_slugs_are_names_of_files():
    assert pictures.slug("CIFAR-10, R = 100") == "cifar_10_r_100"
