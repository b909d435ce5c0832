"""A run that is killed and started again ends like one that nobody disturbed, bit for bit."""

import collections
import json
import random

import pytest

from drw_tf import recipes
from tests.end_to_end import kills, mortal_training

SEED = 20230103


@pytest.fixture(scope="module")
def trainer():
    with kills.Trainer() as made:
        yield made


@pytest.mark.parametrize("name", mortal_training.MOMENTS)
def test_every_moment_is_a_function_of_the_trainer(name):
    owner, function = mortal_training.find(mortal_training.MOMENTS[name][0])
    assert callable(getattr(owner, function))


# Histogram and bank; generations, running mean and added labels.
@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["drw_darp", "fixmatch_crest_plus_la"])
def test_a_killed_run_ends_like_an_undisturbed_one(trainer, tmp_path, recipe):
    arguments = kills.arguments_of(recipe, "--export=false")
    assert trainer.run(tmp_path / "whole", arguments) == 0
    generator = random.Random(f"{SEED} {recipe}")
    if recipe == "drw_darp":
        first = {"at": "files of a checkpoint", "number": generator.randint(6, 15)}
        second = {"at": "curves written", "number": 1}  # beyond the checkpoint
    else:
        first = {"at": "metrics", "number": generator.randint(1, 2)}
        second = {"at": "weights of a stage", "number": 1}
    came = kills.killed_run(trainer, tmp_path / "cut", arguments, [first, second])
    assert came == [first, second]
    kills.assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.fixture(scope="module")
def tally():
    """Kills by recipe and by moment."""
    return {"recipes": collections.Counter(), "moments": collections.Counter()}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_every_recipe_survives_being_killed(trainer, tally, tmp_path, tmp_path_factory, recipe):
    arguments = kills.arguments_of(recipe, "--export=false")
    assert trainer.run(tmp_path / "whole", arguments) == 0
    generator = random.Random(f"{SEED} {recipe}")
    staged = "crt" in recipe or "crest" in recipe
    moments = kills.draw(generator, staged)
    came = kills.killed_run(trainer, tmp_path / "cut", arguments, moments)
    kills.assert_same(tmp_path / "whole", tmp_path / "cut")
    tally["recipes"][recipe] += len(came)
    for moment in came:
        tally["moments"][moment.get("at", "any time")] += 1
    path = tmp_path_factory.getbasetemp() / "kills.json"
    path.write_text(json.dumps(tally, indent=1))
    assert len(came) >= 2


@pytest.mark.slow
# The record is written before the export and after it.
@pytest.mark.parametrize(("at", "number"), [("export", 1), ("record", 1), ("record", 2)])
def test_a_kill_at_the_very_end_costs_nothing(trainer, tmp_path, at, number):
    arguments = kills.arguments_of("supervised", "--export=true")
    assert trainer.run(tmp_path / "whole", arguments) == 0
    moment = {"at": at, "number": number}
    assert kills.killed_run(trainer, tmp_path / "cut", arguments, [moment]) == [moment]
    kills.assert_same(tmp_path / "whole", tmp_path / "cut")
    for name in ("saved_model.pb", "ema.keras"):
        assert (tmp_path / "cut" / "run" / "export" / name).stat().st_size > 0


@pytest.mark.slow
def test_all_recipes_together_were_killed_a_hundred_times(tally):
    total = sum(tally["recipes"].values())
    print(f"{total} kills: {dict(tally['moments'])}")
    assert set(tally["recipes"]) == set(recipes.RECIPES)
    assert total >= 100
