import copy

import pytest

from drw_tf.serving import model_card

NETWORK = {
    "balanced_accuracy": 0.625,
    "accuracy": 0.7,
    "geometric_mean": 0.612,
    "many": 0.75,
    "medium": None,
    "few": 0.5,
    "loss": 0.81251,
    "ece": 0.043,
    "recall": [0.75, 0.5],
    "precision": [0.9, None],
}
RECORD = {
    "command_line": ["python", "-m", "drw_tf.train", "--workdir=my runs"],
    "configuration": {
        "method": "drw_la",
        "model": "small_resnet",
        "seed": 7,
        "steps": 300,
    },
    "versions": {"tensorflow": "2.15.1", "numpy": None},
    "git": {"commit": "abc123", "dirty": True},
    "machine": {"cpu": "a chip", "cores": 2, "gpus": []},
    "dataset": {
        "name": "made up",
        "split_checksum": "0123456789abcdef",
        "class_names": ["dog | cat", "rare_*"],
        "labeled_counts": [48, 3],
        "unlabeled_counts": [96, 6],
        "validation_counts": [4, 4],
        "test_counts": [20, 10],
    },
    "steps": 200,
    "seconds": 90.0,
    "last_metrics": {"ema": {**NETWORK, "accuracy": 0.9}, "ema_unadjusted": NETWORK},
    "history": [{"step": 200, "test": {"ema": {}}}],
}
FIT = {
    "value": 1.53,
    "source": "fitted",
    "facts": {
        "validation_pictures": 8,
        "before": {"loss": 0.7, "ece": 0.1},
        "after": {"loss": 0.5, "ece": 0.02},
    },
}
NO_FIT = {"value": 1.0, "source": "none", "facts": {}}


def card(adjusts=True, adjusted=False, temperature=NO_FIT, record=RECORD, central=None):
    served = model_card.Served((16, 20, 3), adjusts, adjusted, temperature, central)
    # Tables are padded, which changes nothing of what is shown.
    return [" ".join(line.split()) for line in model_card.text(record, served).splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        "# drw_la on made up, seed 7",
        "`made up`, split checksum `0123456789abcdef`.",
        "| class | labeled | unlabeled | validation | test |",
        r"| dog \| cat | 48 | 96 | 4 | 20 |",
        r"| rare\_\* | 3 | 6 | 4 | 10 |",
        "| all | 51 | 102 | 8 | 30 |",
        r"| dog \| cat | 75.0 | 90.0 |",
        r"| rare\_\* | 50.0 | - |",
        "python -m drw_tf.train '--workdir=my runs'",
        r"- Fewer than 10 labeled pictures: rare\_\*.",
        r"- Lowest recall: 50.0 %, class rare\_\*.",
        "- Test pictures a class: 10 to 20.",
    ],
)
def test_a_line_says(line):
    assert line in card()


def test_metrics_of_an_earlier_step_are_said_to_be():
    assert any("On the test pictures after step 200: " in line for line in card())
    later = {**RECORD, "steps": 230, "history": [*RECORD["history"], {"step": 220, "test": {}}]}
    expected = "after step 200 (the network here is that of step 230, which was not tested): "
    assert any(expected in line for line in card(record=later))


def test_numbers_of_the_run_are_named():
    text = "\n".join(card())
    assert "200 of 300 steps, 1.5 minutes on a chip (2 cores, 0 GPUs)" in text
    assert "Commit: `abc123`, with changes. tensorflow 2.15.1." in text
    assert "differ in size by a factor of 16;" in text  # 48 / 3
    assert "16 x 20 pixels, RGB" in text
    assert "a loss of 0.813 nats and an expected calibration error of 4.3 %" in text
    assert "Many / Medium / Few 75.0 / - / 50.0 %" in text


@pytest.mark.parametrize(
    ("adjusts", "adjusted", "accuracy", "said"),
    [
        (True, False, "accuracy 70.0 %", "this export leaves that out"),
        (True, True, "accuracy 90.0 %", "adjustment is subtracted"),
        (False, False, "accuracy 90.0 %", "The network's own."),
    ],
)
def test_metrics_are_those_of_the_logits_that_are_served(adjusts, adjusted, accuracy, said):
    text = "\n".join(card(adjusts, adjusted))
    assert f", {accuracy}" in text
    assert said in text


def test_a_temperature_is_told_with_its_source():
    fitted = "\n".join(card(temperature=FIT))
    assert "divided by the temperature 1.53, fitted on 8 validation pictures" in fitted
    assert "from 0.700 to 0.500 nats" in fitted
    assert "from 10.0 to 2.0 %" in fitted
    assert "The network before it was divided by the temperature has a loss" in fitted
    given = "\n".join(card(temperature={"value": 2.0, "source": "given", "facts": {}}))
    assert "temperature 2, which was given by hand" in given
    plain = "\n".join(card())
    assert "not calibrated" in plain
    assert "The network has a loss" in plain


def test_the_square_that_is_seen_is_named_where_there_is_one():
    assert "central square" not in "\n".join(card())
    text = "\n".join(card(central=0.875))
    assert "of their central square with 87.5 % of the shorter side; arrays must be so" in text


def test_limits_name_classes_that_the_adjustment_knows_nothing_of():
    record = copy.deepcopy(RECORD)
    record["configuration"] |= {"la_prior": "pseudo", "la_strength": 1.0}
    record["history"][0]["pseudo_numbers"] = [90.0, 1.0]
    said = r"- In the last epoch no unlabeled picture was taken for rare\_\*, so that logits "
    for adjusted in (True, False):
        found = [line for line in card(adjusted=adjusted, record=record) if line.startswith(said)]
        assert len(found) == adjusted


def test_held_out_pictures_stand_in_for_test_pictures_that_there_are_not():
    record = copy.deepcopy(RECORD)
    record["last_metrics"] = {}
    record["dataset"]["test_counts"] = None
    single = {name: value for name, value in NETWORK.items() if not isinstance(value, list)}
    found = {"ema": {**single, "accuracy": 0.9}, "ema_unadjusted": single}
    record["history"] = [
        {"step": 200, "test": {}, "validation": found},
        {"step": 200, "test": {}},
    ]
    text = "\n".join(card(record=record))
    assert "On the validation pictures after step 200: balanced accuracy 62.5 %, acc" in text
    assert "accuracy 70.0 %" in text
    assert "accuracy 90.0 %" in "\n".join(card(adjusted=True, record=record))
    assert "recall %" not in text
    assert "Lowest recall" not in text
    assert "- Validation pictures a class: 4." in text
    assert "not tested" not in text


def test_what_a_run_began_with_and_who_trained_it_is_said():
    record = copy.deepcopy(RECORD)
    record["start"] = {"checkpoint": "runs/a/checkpoints/90", "takes_heads": True}
    record["made_by"] = [
        {"from_step": 0, "git": {"commit": "old1", "dirty": False}},
        {"from_step": 120, "git": None},
        {"from_step": 150, "git": RECORD["git"]},
    ]
    text = "\n".join(card(record=record))
    assert "It began with the averaged network of `runs/a/checkpoints/90`, whose pictures" in text
    assert "From step 0 on by commit `old1`." in text
    assert "From step 120 on by a commit that is not known." in text
    assert "Commit: `abc123`, with changes." in text
    record = copy.deepcopy(RECORD)
    record["configuration"]["init_weights"] = "imagenet"
    assert "It began with Keras's weights of ImageNet." in "\n".join(card(record=record))
    assert "It began" not in "\n".join(card())


def test_what_is_not_known_is_said():
    record = copy.deepcopy(RECORD)
    record.update(last_metrics={}, command_line=[], git=None, machine={}, versions={})
    record["dataset"].update(unlabeled_counts=None, validation_counts=[0, 0], test_counts=None)
    text = "\n".join(card(record=record))
    assert "| class | labeled |\n" in text
    del record["dataset"]["validation_counts"]  # as records of earlier versions have none
    assert "\n".join(card(record=record)) == text
    assert "The classes of the unlabeled pictures are not known." in text
    record["dataset"]["unlabeled_pictures"] = 1200
    text = "\n".join(card(record=record))
    assert "The classes of the 1,200 unlabeled pictures are not known." in text
    assert "There were no test pictures." in text
    assert "None: nothing was evaluated." in text
    assert "it was not tested" in text
    assert "exported before the run was finished" in text
    assert (
        "200 of 300 steps, 1.5 minutes on a machine that is not known. Commit: not known. "
        "Versions: not known."
    ) in text
