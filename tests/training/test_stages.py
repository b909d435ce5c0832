"""Runs of several stages: what each one takes over, and that a cut run goes on bit for bit."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import finished_run, session
from drw_tf import run as runs
from drw_tf.models import network as networks
from drw_tf.models import registry
from drw_tf.rebalance import base as rebalance
from drw_tf.training import loop
from drw_tf.training import stages as training_stages
from tests import ended_runs, small_network

# Two stages of 10 steps each.
ARGUMENTS = {
    "crt": ("--method=crt", "--crt_head_fraction=0.5", "--protocol=darp"),
    "darp_crt": (
        *("--method=fixmatch_darp_crt", "--crt_head_fraction=0.5", "--protocol=darp"),
        *("--darp_start=0.25", "--crt_balance=reweight", "--pseudo_memory=bank"),
    ),
    "crest": ("--method=fixmatch_crest_plus_la", "--crest_generations=2", "--forward=separate"),
}


pytestmark = pytest.mark.usefixtures("small_data")


def train(config):
    return session.train(config, ["test"])


# ---- what a stage takes over


@pytest.fixture
def opened(resolve):
    """opened(name): a run that has not been trained, ready for its first step."""

    def make(name):
        run = runs.Run(resolve(*ARGUMENTS[name]))
        run.stages.prepare(0)
        return run

    return make


def values(network):
    return {v.name: v.numpy() for v in network.variables}


def test_redrawn_networks_are_equal_new_and_the_same_in_every_run(opened):
    run = opened("crest")
    first = values(run.method.network)
    # As training would: the networks differ, and the optimizer has counted.
    for variable in run.method.network.variables:
        variable.assign(variable + 1)
    run.method.optimizer.iterations.assign(10)
    run.stages.begin(1)
    second = values(run.method.network)
    for name, value in values(run.method.ema_network).items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    kernels = [name for name in first if "kernel" in name]
    assert all(not np.array_equal(first[name], second[name]) for name in kernels)
    assert all(np.array_equal(first[n], second[n]) for n in first if "moving" in n)
    assert int(run.method.optimizer.iterations.numpy()) == 0
    again = opened("crest")
    again.stages.begin(1)
    for name, value in values(again.method.network).items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.mark.parametrize("name", ["crest", "darp_crt"])
def test_pseudo_labels_of_a_network_that_is_redrawn_are_forgotten(resolve, name):
    run = runs.Run(resolve(*ARGUMENTS[name], "--pseudo_memory=bank"))
    run.stages.prepare(0)
    bank = run.method.histogram.bank
    bank.assign(tf.ones_like(bank))
    run.stages.begin(1)
    assert (bank.numpy() == (-1 if name == "crest" else 1)).all()


def test_new_head_stands_on_the_averaged_network_which_is_frozen(opened):
    run = opened("crt")
    method = run.method
    for variable in method.ema_network.variables:
        variable.assign(variable + 0.5)
    averaged = values(method.ema_network)
    run.stages.begin(1)
    for network in (method.network, method.ema_network):
        for name, value in values(network).items():
            taken_over = np.array_equal(value, averaged[name])
            assert taken_over is not name.startswith("logits/"), name
    trained = [v.name for v in method.network.trainable_variables]
    assert trained == ["logits/kernel:0", "logits/bias:0"]
    assert method.training_rules.weight_decay == 0
    assert method.average.warmup is True


def test_labels_of_the_next_generation_are_the_averaged_networks(opened, quarters):
    _, split = quarters
    run = opened("crest")
    labeled, unlabeled = run.stages.streams(0)
    np.testing.assert_array_equal(labeled.rows, split.labeled)
    assert run.config.unlabeled_ratio == 2
    assert (labeled.batch, unlabeled.batch) == (8, 16)
    pool = split.pool(include_labeled=True)
    asked = []
    run.stages.logits = lambda images: asked.append(images) or np.eye(4)[images.labels]
    run.stages.begin(1)
    # What is predicted is the pool in its order, here with the true classes.
    np.testing.assert_array_equal(asked[0].labels, quarters[0].train.labels[pool])
    labeled, unlabeled = run.stages.streams(1)
    assert set(labeled.rows) < set(pool)
    assert len(set(labeled.rows)) == len(labeled.rows) > len(split.labeled)
    np.testing.assert_array_equal(labeled.rows[: len(split.labeled)], split.labeled)
    np.testing.assert_array_equal(labeled.labels, quarters[0].train.labels[labeled.rows])
    np.testing.assert_array_equal(unlabeled.rows, pool)
    assert (labeled.key, unlabeled.key) == ("labeled", "unlabeled")
    assert (labeled.batch, unlabeled.batch) == (8, 16)


def test_pool_is_labeled_by_the_averaged_network_before_it_is_redrawn(opened, quarters):
    _, split = quarters
    run = opened("crest")
    small_network.always_answer(run.method.ema_network, [0, 0, 0, 9])
    small_network.always_answer(run.method.network, [9, 0, 0, 0])
    run.stages.begin(1)
    rows, labels = run.method.rebalancers[0].labeled_rows()
    # Of what is said to be of the rarest class all are added.
    assert set(labels) == {3}
    assert sorted(split.pool(include_labeled=True)[rows]) == sorted(split.unlabeled)


@pytest.fixture
def start(tmp_path):
    """A file of weights that are all .01."""
    backbone = registry.build_backbone(
        "small_resnet",
        (8, 8, 1),
        batch_norm=networks.BatchNorm(),
        normalization=((0.25,), (0.25,)),
    )
    backbone.set_weights([np.full(one.shape, 0.01, one.dtype) for one in backbone.get_weights()])
    file = tmp_path / "start.h5"
    backbone.save_weights(str(file))
    return file


def test_new_head_is_the_same_where_the_file_of_starting_weights_is_gone(resolve, start):
    heads = []
    for gone in (False, True):
        run = runs.Run(resolve(*ARGUMENTS["crt"], f"--init_weights={start}"))
        run.stages.prepare(0)
        for variable in run.method.ema_network.variables:
            variable.assign(variable + 0.5)
        if gone:
            start.unlink()
        run.stages.begin(1)
        found = values(run.method.network)
        kernels = [name for name in found if "kernel" in name and not name.startswith("logits/")]
        for name in kernels:
            np.testing.assert_allclose(found[name], 0.51, rtol=1e-6, err_msg=name)
        heads.append(found["logits/kernel:0"])
    np.testing.assert_array_equal(*heads)


def test_redrawn_networks_start_from_the_file_again(resolve, start):
    run = runs.Run(resolve(*ARGUMENTS["crest"], f"--init_weights={start}"))
    run.stages.prepare(0)
    for variable in run.method.network.variables:
        variable.assign(variable + 1)
    run.stages.begin(1)
    kernels = [one for one in run.method.network.trainable_variables if one.shape.rank == 4]
    for kernel in kernels:
        np.testing.assert_allclose(kernel, 0.01, rtol=1e-6)


def test_file_that_a_later_generation_starts_from_must_be_there(resolve, start):
    words = ("--method=fixmatch_crest", "--crest_generations=3", f"--init_weights={start}")
    stages = runs.Run(resolve(*words, "--steps=30")).stages
    start.unlink()
    for step, stop_at, needed in (
        (0, 30, 10),
        (10, 30, 10),  # its checkpoint is of the end of the first generation
        (0, 20, 10),
        (11, 30, 20),
    ):
        with pytest.raises(
            ValueError,
            match=rf"^--init_weights must name a file, there is no '.*start\.h5'; stage "
            rf"generation \d starts from it at step {needed}\.$",
        ):
            stages.require_weights(step, stop_at)
    for step, stop_at in ((0, 10), (11, 20), (21, 30), (30, 30)):
        stages.require_weights(step, stop_at)


@pytest.mark.slow
def test_run_whose_next_generation_misses_its_file_goes_on_when_it_is_back(
    resolve, start, tmp_path
):
    words = (*ARGUMENTS["crest"], f"--init_weights={start}", f"--workdir={tmp_path / 'run'}")
    train(resolve(*words, "--stop_at_step=10"))
    start.rename(tmp_path / "away.h5")
    with pytest.raises(ValueError, match=r"^--init_weights must name a file, .* at step 10\.$"):
        train(resolve(*words))
    (tmp_path / "away.h5").rename(start)
    assert train(resolve(*words))["steps"] == 20


def test_second_stage_of_crt_draws_balanced_batches(opened):
    run = opened("crt")
    assert [stream.sampling for stream in run.stages.streams(0)] == ["uniform"]
    assert [stream.sampling for stream in run.stages.streams(1)] == ["class_balanced"]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (rebalance.Stage("odd", 15), "stage odd has 15 steps"),
        (rebalance.Stage("short", 10, settings={"warmup_steps": 10}), "longer than --warmup_steps"),
    ],
)
def test_stages_that_cannot_run_are_refused_before_the_first_step(
    opened, stage, message, monkeypatch
):
    run = opened("crt")
    monkeypatch.setattr(type(run.method), "stages", lambda self, steps: [stage])
    with pytest.raises(ValueError, match=message):
        training_stages.Stages(
            run.config, run.dataset, run.split, run.method, run.strategy, run.logits
        )


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("sampling", "uniform, class_balanced"),
        ("begins_with", "keep, redraw, new_head"),
        ("heard", "all, own, others"),
    ],
)
def test_a_stage_of_an_unknown_word_is_refused(field, allowed):
    with pytest.raises(
        ValueError, match=rf"^Stage\.{field} must be one of {allowed}, got 'balanced'\.$"
    ):
        rebalance.Stage("odd", 10, **{field: "balanced"})


# ---- whole runs


@pytest.fixture
def whole(uncut):
    """whole(name): (folder, record) of the uncut run."""
    return lambda name: uncut(*ARGUMENTS[name])


class Killed(Exception):
    """Ends a run where it stands, like a lost machine."""


def cut(monkeypatch, how, where):
    """From now on a run is stopped (it saves) or killed (it does not) at a step or a change."""

    def act():
        if how == "kill":
            raise Killed
        os.kill(os.getpid(), signal.SIGTERM)

    if where == "change":
        set_weights = training_stages.Stages._set_weights

        def interrupted(self, *args):
            act()
            set_weights(self, *args)

        monkeypatch.setattr(training_stages.Stages, "_set_weights", interrupted)
        return
    ended = loop._Runner.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        if self.step + 1 == where:
            act()
        ended(self, batch, logs)

    monkeypatch.setattr(loop._Runner, "on_train_batch_end", on_train_batch_end)


@pytest.mark.parametrize(
    ("name", "how", "where"),
    [
        pytest.param("crt", "stop", 10, marks=pytest.mark.slow),
        pytest.param("crt", "kill", "change", marks=pytest.mark.slow),
        pytest.param("darp_crt", "kill", "change", marks=pytest.mark.slow),
        pytest.param("darp_crt", "stop", 13, marks=pytest.mark.slow),
        pytest.param("crest", "stop", 13, marks=pytest.mark.slow),
        pytest.param("crest", "kill", "change", marks=pytest.mark.slow),
        pytest.param("crt", "stop", 13, marks=pytest.mark.slow),
        pytest.param("crt", "kill", 17, marks=pytest.mark.slow),
        pytest.param("crest", "kill", 12, marks=pytest.mark.slow),
        pytest.param("crest", "stop", "change", marks=pytest.mark.slow),
    ],
)
def test_run_that_was_cut_goes_on_bit_for_bit(
    name, how, where, whole, resolve, tmp_path, monkeypatch
):
    folder, _ = whole(name)
    config = resolve(*ARGUMENTS[name], "--deterministic", f"--workdir={tmp_path / 'cut'}")
    with monkeypatch.context() as patch:
        cut(patch, how, where)
        with pytest.raises(loop.Stopped if how == "stop" else Killed):
            train(config)
    train(config)
    ended_runs.assert_same(folder, tmp_path / "cut")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_stages_have_their_lengths_and_optimizers_of_their_own(whole, name):
    folder, record = whole(name)
    assert [(entry["step"], entry["stage"]) for entry in record["history"]] == [(10, 0), (20, 1)]
    assert record["final"]["ema"]["balanced_accuracy"]["evaluations"] == 1
    for step in (10, 20):
        saved = ended_runs.variables_of(folder, step)
        assert saved["model/optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"] == 10
    if name != "crest":
        # Adam's constant rate; then a cosine from .1, whose tenth step is at 9 / 10.
        rates = [entry["learning_rate"] for entry in record["history"]]
        assert rates == pytest.approx([2e-3, 0.05 * (1 + np.cos(0.9 * np.pi))], rel=1e-5)


def test_head_after_a_method_with_a_pool_reads_labeled_pictures_alone(whole):
    _, record = whole("darp_crt")
    features, head = record["history"]
    assert {"loss_unlabeled", "mask_rate"} < set(features["train"])
    assert "pseudo_numbers" in features
    assert set(head["train"]) == {"loss", "loss_labeled"}
    assert not {"pseudo_numbers", "unlabeled_loss_by_class"} & set(head)
    assert head["labeled_weights"][0] < 1 < head["labeled_weights"][-1]
    assert "labeled_weights" not in features
    # 8 labeled and 8 unlabeled pictures a step, then the labeled ones.
    assert record["images_per_second"] * head["seconds"] == pytest.approx(240)


def test_pictures_of_the_head_are_counted_without_the_pool(opened):
    stages = opened("darp_crt").stages
    assert [stages.images_read(steps) for steps in (0, 7, 10, 13, 20)] == [0, 112, 160, 184, 240]


@pytest.mark.parametrize(("method", "view"), [("crt", "weak"), ("remixmatch_darp_crt", "strong")])
def test_head_learns_from_weak_views(resolve, method, view):
    run = runs.Run(resolve(f"--method={method}", "--crt_head_fraction=0.5"))
    assert run.stages.streams(0)[0].views == (view,)
    (labeled,) = run.stages.streams(1)
    assert (labeled.key, labeled.views, labeled.batch) == ("labeled", ("weak",), 8)


@pytest.mark.parametrize("name", ["crt", "darp_crt"])
def test_second_stage_of_crt_moves_the_head_alone(whole, name):
    folder, _ = whole(name)
    before, after = ended_runs.variables_of(folder, 10), ended_runs.variables_of(folder, 20)
    moved = []
    for network in ("network", "ema_network"):
        names = [name for name in after if name.startswith(f"model/{network}/")]
        # Kernel; scale, shift, mean and variance; kernel and bias of the head.
        assert len(names) == 1 + 4 + 2
        for one in names:
            averaged = before["model/ema_network" + one.removeprefix(f"model/{network}")]
            if not np.array_equal(after[one], averaged):
                moved.append((network, after[one].shape))
    # Kernel and bias of both heads; no weight and no batch statistic below them.
    assert [(n, shape[-1]) for n, shape in moved] == [("network", 4)] * 2 + [("ema_network", 4)] * 2


def test_run_of_several_stages_is_opened_with_its_last_one(whole):
    folder, expected = whole("crest")
    run, state = finished_run.open_run(folder)
    assert (state["step"], state["stage"]) == (20, 1)
    found = run.evaluate(run.evaluator(run.dataset.test))
    assert found["ema"]["balanced_accuracy"] == pytest.approx(
        expected["history"][-1]["test"]["ema"]["balanced_accuracy"]
    )
    assert run.method.rebalancers[0].describe()["added_counts"].sum() > 0
