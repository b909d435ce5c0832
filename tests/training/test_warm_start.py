"""A run that begins with the averaged network of an earlier one."""

import dataclasses
import functools
import gc
import json
import shutil

import numpy as np
import pytest

from drw_tf import config as configuration
from drw_tf import finished_run, session
from drw_tf import run as runs
from drw_tf.data import registry
from drw_tf.models import registry as models
from drw_tf.models import weights
from drw_tf.training import cluster
from tests import ended_runs

pytestmark = pytest.mark.usefixtures("small_data")

EARLIER = ("--method=drw", "--reweight_start=0.5", "--pseudo_smoothing=0.5")


@pytest.fixture
def earlier(uncut):
    """The folder of a run of DRw."""
    return uncut(*EARLIER)[0]


def by_name(network):
    return {one.name: one.numpy() for one in network.variables}


@functools.cache
def averaged(folder):
    """Weight's name -> value, of the averaged network of a run."""
    return by_name(finished_run.open_run(folder)[0].method.ema_network)


def test_both_networks_are_the_averaged_one_of_the_earlier_run(earlier, resolve, caplog):
    run = runs.Run(resolve("--method=fixmatch", f"--init_weights={earlier}"))
    gc.collect()
    assert not caplog.records  # of what else the checkpoint holds
    run.stages.prepare(0)
    expected = averaged(earlier)
    assert len(expected) == 1 + 4 + 2
    for network in (run.method.network, run.method.ema_network):
        found = by_name(network)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    # All else begins anew.
    assert int(run.method.optimizer.iterations) == 0
    assert run.method.alarm.read()[0] == 0


def test_heads_of_other_classes_are_drawn_as_in_any_run(earlier, resolve, monkeypatch, quarters):
    fresh = by_name(runs.Run(resolve("--method=fixmatch")).method.network)
    dataset, split = quarters
    renamed = dataclasses.replace(dataset, class_names=("a", "b", "d", "c"))
    monkeypatch.setattr(registry, "load", lambda config, **_: (renamed, split))
    run = runs.Run(resolve("--method=fixmatch", f"--init_weights={earlier}"))
    assert run.start.line.endswith("with new heads, as its classes are others")
    expected = averaged_of_checkpoint(earlier)
    for name, value in by_name(run.method.network).items():
        wanted = fresh[name] if name.startswith("logits/") else expected[name]
        np.testing.assert_array_equal(value, wanted, err_msg=name)


def averaged_of_checkpoint(folder):
    """The same as `averaged`, where the data are others now."""
    names = {
        "conv/kernel:0": "layer_with_weights-0/kernel",
        **{
            f"bn/{one}:0": f"layer_with_weights-1/{one}"
            for one in ("gamma", "beta", "moving_mean", "moving_variance")
        },
    }
    saved = ended_runs.variables_of(folder)
    return {
        name: saved[f"model/ema_network/{place}/.ATTRIBUTES/VARIABLE_VALUE"]
        for name, place in names.items()
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            ("--method=fixmatch_abc", "--stop_at_step=10"), "fixmatch", marks=pytest.mark.slow
        ),
        (EARLIER, "fixmatch_abc"),
    ],
)
def test_a_head_that_only_one_of_them_has_is_left_out(uncut, resolve, before, after):
    # The head of ABC stands before that of the method among the layers.
    folder, _ = uncut(*before)
    expected = averaged(folder)
    fresh = by_name(runs.Run(resolve(f"--method={after}")).method.network)
    found = by_name(
        runs.Run(resolve(f"--method={after}", f"--init_weights={folder}")).method.network
    )
    for name, value in found.items():
        wanted = expected.get(name, fresh[name])
        np.testing.assert_array_equal(value, wanted, err_msg=name)
    assert not np.array_equal(found["logits/kernel:0"], fresh["logits/kernel:0"])


def test_a_head_in_another_form_is_left_out(earlier, resolve):
    run = runs.Run(resolve("--method=ldam_drw", f"--init_weights={earlier}"))
    found = by_name(run.method.network)
    assert [name for name in found if name.startswith("logits/")] == ["logits/kernel:0"]
    lengths = np.linalg.norm(found["logits/kernel:0"], axis=0)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)  # as a cosine head is drawn
    np.testing.assert_array_equal(found["conv/kernel:0"], averaged(earlier)["conv/kernel:0"])


def test_every_replica_starts_from_it(earlier, resolve, two_replicas):
    config = resolve("--method=fixmatch", f"--init_weights={earlier}")
    run = runs.Run(config, cluster.Team(two_replicas))
    for name, value in averaged(earlier).items():
        (variable,) = (one for one in run.method.network.variables if one.name == name)
        for copy in variable.values:
            np.testing.assert_array_equal(copy, value, err_msg=name)


@pytest.fixture
def moved(earlier, tmp_path):
    """A copy of the earlier run, which a test may take away."""
    return shutil.copytree(earlier, tmp_path / "moved")


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_when_the_earlier_one_is_gone(resolve, moved, tmp_path):
    words = ("--method=fixmatch", f"--init_weights={moved}", "--deterministic")
    whole = session.train(resolve(*words, f"--workdir={tmp_path / 'whole'}"), ["test"])
    cut = f"--workdir={tmp_path / 'cut'}"
    session.train(resolve(*words, cut, "--stop_at_step=10"), ["test"])
    shutil.rmtree(moved)
    assert session.train(resolve(*words, cut), ["test"])["steps"] == 20
    ended_runs.assert_same(tmp_path / "whole", tmp_path / "cut")
    expected = {
        "checkpoint": str(moved / "checkpoints" / "step_000000020"),
        "takes_heads": True,
        "built_with": "none",
    }
    assert whole["start"] == expected
    assert json.loads((tmp_path / "cut" / "data.json").read_text())["start"] == expected
    run, state = finished_run.open_run(tmp_path / "cut")
    assert finished_run.record_of(tmp_path / "cut", run, state)["start"] == expected
    (tmp_path / "cut" / "record.json").unlink()
    assert finished_run.record_of(tmp_path / "cut", run, state)["start"] == expected


def test_the_next_generation_starts_from_it_again(resolve, moved):
    words = ("--method=fixmatch_crest", "--crest_generations=2", f"--init_weights={moved}")
    run = runs.Run(resolve(*words))
    run.stages.prepare(0)
    expected = averaged(moved)
    for variable in run.method.network.variables:
        variable.assign(variable + 1)
    run.stages.begin(1)
    for name, value in by_name(run.method.network).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    run.stages.require_weights(0, 20)
    shutil.rmtree(moved / "checkpoints")
    with pytest.raises(
        weights.WeightsError,
        match=r"^--init_weights: there is no checkpoint .*step_0+20 any more; stage generation 2 "
        r"starts from it at step 10\.$",
    ):
        run.stages.require_weights(0, 20)


def test_what_is_no_fitting_run_is_refused(earlier, resolve, moved, tmp_path):
    def refused(*words, error=configuration.ConfigError):
        with pytest.raises(error) as caught:
            runs.Run(resolve("--method=fixmatch", *words))
        return str(caught.value)

    assert refused("--init_weights=imagent") == (
        "--init_weights must be none, imagenet, a file that ends in .h5 or .keras, or the folder "
        "of a run, there is no folder 'imagent'."
    )
    assert refused(f"--init_weights={tmp_path}") == (
        f"--init_weights must be the folder of a trained run, {tmp_path} has no config.json."
    )
    itself = refused(f"--init_weights={earlier}", f"--workdir={earlier}")
    assert itself.endswith("must be another run than --workdir.")
    other = refused(f"--init_weights={earlier}", "--model=wide_resnet_10_1")
    assert other.endswith(
        "is a run of --model=small_resnet, so that must be given, got wide_resnet_10_1."
    )
    for file in (moved / "checkpoints").glob("step_*/variables.index"):
        file.write_bytes(b"damaged")
    assert refused(f"--init_weights={moved}").endswith(": all its checkpoints are damaged.")


def test_a_network_of_another_shape_is_refused(earlier, resolve, monkeypatch, quarters):
    dataset, split = quarters
    color = dataclasses.replace(dataset, image_shape=(8, 8, 3), mean=(0.25,) * 3, std=(0.25,) * 3)
    monkeypatch.setattr(registry, "load", lambda config, **_: (color, split))
    misfit = r"step_0+20 does not fit small_network: .*shape"
    with pytest.raises(weights.WeightsError, match=misfit):
        runs.Run(resolve("--method=fixmatch", f"--init_weights={earlier}"))


def test_a_network_that_keras_makes_otherwise_for_its_weights_is_made_so_again(
    resolve, monkeypatch, moved
):
    # As of a run that began with one which began with imagenet.
    data = json.loads((moved / "data.json").read_text())
    data["start"] = {"checkpoint": "gone", "takes_heads": True, "built_with": "imagenet"}
    (moved / "data.json").write_text(json.dumps(data))
    asked = []
    build = models.build_backbone

    def build_backbone(*given, init_weights, **others):
        asked.append(init_weights)
        return build(*given, **others)

    monkeypatch.setattr(models, "build_backbone", build_backbone)
    words = ("--method=fixmatch", f"--init_weights={moved}")
    start = runs.Run(resolve(*words)).start
    assert start.built_with == "imagenet"
    assert set(asked) == {"imagenet"}
    # Where it goes on its weights follow, and still they are needed for its layers.
    asked.clear()
    runs.Run(resolve(*words), begun_with={"start": start.facts()})
    assert set(asked) == {"imagenet"}


@pytest.mark.parametrize(("begun", "built_with"), [("imagenet", "imagenet"), ("a.h5", "none")])
def test_what_the_earlier_run_began_with_is_told_by_its_flags(resolve, moved, begun, built_with):
    file = moved / "config.json"
    application = {"model": "applications/MobileNet", "init_weights": begun}
    file.write_text(json.dumps(json.loads(file.read_text()) | application))
    config = resolve("--model=applications/MobileNet", f"--init_weights={moved}")
    assert runs.start_from(config, ["a"]).built_with == built_with
