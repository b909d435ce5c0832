"""Every recipe trains: one step, all of its terms, nothing that is not finite."""

import dataclasses
import pathlib
import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf import flag_table, recipes
from drw_tf.data import dataset as records
from drw_tf.methods import batches
from drw_tf.rebalance import base as rebalance
from drw_tf.training import assembly
from tests import small_network

ROWS, CLASSES = 8, 4
# At once what else waits or ramps, no threshold that a new network does not reach, and a bank,
# which is there beside the counts.
EAGER = {
    "threshold": 0.0,
    "ramp_fraction": 0.0,
    "darp_start": 0.0,
    "cdmad_start": 0.0,
    "reweight_start": 0.0,
    "pseudo_memory": "bank",
}


def test_the_table_knows_which_rebalancers_adjust_logits_at_test_time():
    for name, component in recipes.REBALANCERS.items():
        does = component.load().adjust is not rebalance.Rebalancer.adjust
        assert component.adjusts == does, name


def test_the_table_knows_which_rebalancers_refine_pseudo_labels():
    for name, component in recipes.REBALANCERS.items():
        does = component.load().refine is not rebalance.Rebalancer.refine
        assert component.refines == does, name


def test_the_table_knows_which_rebalancers_weigh_the_labeled_loss():
    for name, component in recipes.REBALANCERS.items():
        does = component.load().labeled_weights is not rebalance.Rebalancer.labeled_weights
        assert component.weighs_labeled == does, name


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    small_network.stand_in(monkeypatch)


def images(generator, rows):
    return generator.integers(0, 256, [rows, 8, 8, 1]).astype(np.uint8)


@pytest.fixture(scope="module")
def noise():
    """(Dataset, Split): 20 labeled pictures, 10, 5, 3 and 2 of a class, and 60 unlabeled ones."""
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(4), [10, 5, 3, 2]), generator.integers(0, 4, 60)])
    pictures = records.ArrayImages(images(generator, 80), labels)
    dataset = records.Dataset(
        "digits", ("a", "b", "c", "d"), (8, 8, 1), pictures, None, False, (0.5,), (0.3,)
    )
    return dataset, records.Split(np.arange(20), np.arange(20, 80), np.arange(0))


def resolve(name):
    flags = recipes.RECIPES[name].flags
    given = {flag: value for flag, value in EAGER.items() if flag in flags}
    return configuration.resolve({"method": name, "batch_size": ROWS, **given})


def batch_for(method, unlabeled_rows):
    generator = np.random.default_rng(1)

    def stream(views, rows, pool):
        made = {view: tf.constant(images(generator, rows)) for view in views}
        return made | {"index": tf.constant(generator.choice(pool, rows, replace=False))}

    labels = tf.constant([0, 0, 0, 1, 1, 2, 3, 3])
    batch = {"labeled": stream(method.labeled_views, ROWS, 20) | {"label": labels}}
    if method.unlabeled_views:
        pool = method.facts.pool_size
        batch["unlabeled"] = stream(method.unlabeled_views, unlabeled_rows, pool)
    return batch


@pytest.mark.parametrize(
    ("dataset", "size", "fill"),
    [("cifar10", None, 0), ("cifar10", 96, 0), ("cifar100", None, 0), ("digits", None, 9)],
)
def test_all_methods_see_weak_views_of_one_padding(dataset, size, fill, noise):
    # DARP's crops are padded with black, the others reflect: here a picture of nines.
    pictures = tf.fill([1, 8, 8, 1], tf.constant(9, tf.uint8))
    for name in recipes.RECIPES:
        given = {} if size is None else {"image_size": size}
        config = configuration.resolve({"method": name, "dataset": dataset, **given})
        makes = assembly.views(config, noise[0])
        corner = makes.apply("weak", pictures, {"shift": tf.constant([[0, 0]])})[0, 0, 0, 0]
        assert corner.numpy() == fill, name


class Probe(rebalance.Rebalancer):
    """Does nothing at any seam of a step, and remembers at which it was asked."""

    SEAMS = ("supervised_loss", "labeled_weights", *rebalance.PSEUDO_LABEL_SEAMS)

    def __init__(self, refines):
        super().__init__(None, None)
        self.refines = refines
        self.asked = set()


def _remembered(seam):
    def ask(self, *given):
        self.asked.add(seam)
        return getattr(super(Probe, self), seam)(*given)

    return ask


for _seam in Probe.SEAMS:
    setattr(Probe, _seam, _remembered(_seam))


def assert_seams_were_read(method, probes):
    """What a method does not ask for is in its `unread_seams`: else it would be ignored."""
    expected = set(Probe.SEAMS) - set(method.unread_seams)
    if not method.unlabeled_views:
        # Who replaces both losses is not refused for the one that is not there.
        expected -= {"unsupervised_loss"}
    for probe in probes:
        assert not expected - probe.asked, probe.refines


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_one_step_moves_the_weights_and_every_term_counts(name, noise):
    config = resolve(name)
    method = assembly.build_method(config, *noise)
    probes = [Probe("predictions"), Probe("targets")]
    method.rebalancers += probes
    assembly.compile_method(config, method, method.stages(config.steps)[0])
    # TensorFlow has variables of int32 on the CPU alone, where a GPU's step cannot touch them.
    every = [*method.variables, *method.optimizer.variables]
    assert not [one.name for one in every if one.dtype == tf.int32]
    before = [variable.numpy() for variable in method.network.trainable_variables]
    rows = ROWS * (config.unlabeled_ratio or 0)
    shown = method.train_step(batch_for(method, rows))
    assert_seams_were_read(method, probes)
    assert np.isfinite(shown["loss"])
    means = method.means.result()
    extra = [term for one in method.rebalancers for term in one.terms]
    for term in (*method.terms, *extra):
        assert np.isfinite(means[term])
        assert means[term] != 0, f"{term} is 0: a flag that delays it belongs into EAGER"
    assert means["loss"] == pytest.approx(sum(means[t] for t in (*method.terms, *extra)), rel=1e-5)
    after = [variable.numpy() for variable in method.network.trainable_variables]
    assert all(np.isfinite(value).all() for value in after)
    moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert all(moved), [
        v.name for v, m in zip(method.network.weights, moved, strict=False) if not m
    ]
    for key, value in method.end_epoch(config.steps).items():
        shape = np.shape(value)
        assert key == "train" or shape in ((), (CLASSES,)), (
            f"{key} has the shape {shape}: a number or one of each class can be logged"
        )


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if "crt" in name])
def test_head_after_any_method_moves_alone(name, noise):
    config = resolve(name)
    method = assembly.build_method(config, *noise)
    method.freeze_all_but_logits()
    stage = method.stages(config.steps)[1]
    assembly.compile_method(config, method, stage)
    before = {one.name: one.numpy() for one in method.network.variables}
    method.labeled_views = ("weak",)
    batch = {"labeled": batch_for(method, ROWS)["labeled"]}
    method.train_step(batch)
    for one in method.network.variables:
        moved = not np.array_equal(before[one.name], one.numpy())
        assert moved == one.name.startswith("logits/"), one.name
    weak = batches.to_float(batch)["labeled"]["weak"]
    for one in method.network.variables:
        one.assign(before[one.name])
    # Batch statistics stand still; images are drawn equally often, so that nothing is weighted.
    logits = method.network(weak, training=False)["logits"].numpy().astype(np.float64)
    chosen = np.take_along_axis(logits, batch["labeled"]["label"].numpy()[:, None], 1)[:, 0]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
    assert method.end_epoch(config.steps)["train"]["loss_labeled"] == pytest.approx(expected, 1e-5)


def effective_weights(counts, beta):
    """Sum to C; in float64."""
    raw = (1 - beta) / (1 - beta ** np.asarray(counts))
    return raw * len(raw) / raw.sum()


@pytest.mark.parametrize("name", ["mixmatch_drw", "remixmatch_drw"])
def test_weights_of_drw_act_on_each_share_of_a_soft_target(name, noise):
    config = resolve(name)
    method = assembly.build_method(config, *noise)
    assembly.compile_method(config, method, method.stages(config.steps)[0])
    batch = batch_for(method, ROWS * config.unlabeled_ratio)
    method.train_step(batch)
    numbers = np.array(method.end_epoch(50)["pseudo_numbers"])
    of_labeled = effective_weights([10, 5, 3, 2], 0.999)
    of_pseudo = effective_weights(numbers, 0.999)
    assert of_pseudo.max() > 1.1 * of_pseudo.min()

    batch = batches.to_float(batch)
    prepared = method.prepare(batch)
    targets = prepared["mixed_targets"].numpy().astype(np.float64)
    pictures = [prepared["images"]]
    if name == "remixmatch_drw":
        pictures += [prepared["turned"], batch["unlabeled"]["strong"]]
    # In training mode all pass together, and batch statistics are those of all.
    logits = method.network(tf.concat(pictures, 0), training=True)["logits"].numpy()
    shifted = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float64)
    shares = shifted / shifted.sum(1, keepdims=True)
    mixed, strong = shares[: len(targets)], shares[-len(prepared["targets"]) :]
    expected = {"loss_labeled": -np.log(mixed[:ROWS]) * targets[:ROWS] @ of_labeled}
    if name == "mixmatch_drw":
        errors = ((mixed[ROWS:] - targets[ROWS:]) ** 2).mean(1) * (targets[ROWS:] @ of_pseudo)
        expected["loss_unlabeled"] = 75.0 * errors
    else:
        errors = -np.log(mixed[ROWS:]) * targets[ROWS:] @ of_pseudo
        expected["loss_unlabeled"] = 1.5 * errors
        expected["loss_strong"] = 0.5 * -np.log(strong) * prepared["targets"].numpy() @ of_pseudo
    terms, _ = method.loss_terms(batch, prepared)
    for term, rows in expected.items():
        np.testing.assert_allclose(terms[term], rows.mean(), rtol=1e-4, err_msg=term)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_defaults_of_a_recipe_are_flags_that_it_reads(name):
    recipe = recipes.RECIPES[name]
    for flag, value in recipe.defaults.items():
        assert flag_table.BY_NAME[flag].check(value)
        assert flag in recipe.flags or flag in configuration.data_flags()


@pytest.mark.parametrize("name", recipes.METHODS)
def test_a_method_with_an_unlabeled_stream_reads_what_its_pool_is(name):
    # Without the flag the pool would silently be that of --pool=unlabeled.
    flags = recipes.METHODS[name].flags
    assert ("pool" in flags) == ("unlabeled_ratio" in flags)


def test_every_component_is_in_some_recipe_and_can_be_loaded():
    used = {recipe.method for recipe in recipes.RECIPES.values()}
    assert used == set(recipes.METHODS)
    used = {key for recipe in recipes.RECIPES.values() for key in recipe.rebalancers}
    assert used == set(recipes.REBALANCERS)
    for component in recipes.REBALANCERS.values():
        assert issubclass(component.load(), rebalance.Rebalancer)


def test_dynamic_weights_need_a_method_that_counts(noise, monkeypatch):
    monkeypatch.setattr("drw_tf.methods.tally.PseudoLabelHistogram", lambda *_, **__: None)
    message = "DynamicWeights needs pseudo numbers, which FixMatch does not count"
    with pytest.raises(ValueError, match=message):
        assembly.build_method(resolve("drw"), *noise)


@pytest.mark.parametrize(("name", "message"), [("fixmatch", "must be"), ("vat", "must not be")])
def test_strong_views_and_their_flag_go_together(noise, monkeypatch, name, message):
    component = recipes.METHODS[name]
    flags = set(component.flags) ^ {"randaugment_order"}
    monkeypatch.setitem(recipes.METHODS, name, dataclasses.replace(component, flags=tuple(flags)))
    said = f"^randaugment_order {message} among the flags of {name} in recipes.METHODS: .* reads"
    with pytest.raises(ValueError, match=said):
        assembly.build_method(resolve(name), *noise)


def recipe_of(monkeypatch, method, *rebalancers):
    """Name of a recipe that is not among the delivered ones."""
    monkeypatch.setitem(
        recipes.RECIPES, "newcomer", recipes.Recipe("for a test", method, rebalancers)
    )
    return "newcomer"


@pytest.mark.parametrize("prior", ["labeled", "pseudo"])
def test_a_prior_of_pseudo_numbers_needs_a_method_that_counts(noise, monkeypatch, prior):
    config = configuration.resolve(
        {"method": recipe_of(monkeypatch, "vat", "logit_adjustment"), "la_prior": prior}
    )
    if prior == "labeled":
        assembly.build_method(config, *noise)
        return
    with pytest.raises(ValueError, match="LogitAdjustment needs pseudo numbers, which VAT does"):
        assembly.build_method(config, *noise)


@pytest.mark.parametrize("crest", ["crest", "crest_plus"])
def test_self_training_needs_a_method_with_a_pool(noise, monkeypatch, crest):
    config = configuration.resolve({"method": recipe_of(monkeypatch, "supervised", crest)})
    with pytest.raises(ValueError, match=r"SelfTraining needs .*, which Supervised does not read"):
        assembly.build_method(config, *noise)


@pytest.mark.parametrize("order", [("abc", "cdmad"), ("cdmad", "abc")])
def test_no_bias_of_one_head_is_taken_off_another(noise, monkeypatch, order):
    config = configuration.resolve({"method": recipe_of(monkeypatch, "fixmatch", *order)})
    message = "SolidColorDebiasing debiases the head 'logits', but the recipe evaluates 'abc'"
    with pytest.raises(ValueError, match=message):
        assembly.build_method(config, *noise)


@pytest.mark.parametrize(
    "order", [("abc", "classifier_retraining"), ("classifier_retraining", "abc")]
)
def test_no_head_is_retrained_that_nobody_judges(noise, monkeypatch, order):
    config = configuration.resolve({"method": recipe_of(monkeypatch, "fixmatch", *order)})
    message = "^ClassifierRetraining retrains the head 'logits', but the recipe evaluates 'abc'\\.$"
    with pytest.raises(ValueError, match=message):
        assembly.build_method(config, *noise)


@pytest.mark.parametrize("what", ["terms", "scalars"])
def test_a_method_returns_what_it_declares(noise, what):
    config = resolve("fixmatch")
    method = assembly.build_method(config, *noise)
    assembly.compile_method(config, method, method.stages(config.steps)[0])
    made = method.loss_terms

    def changed(batch, prepared):
        found = dict(zip(("terms", "scalars"), made(batch, prepared), strict=True))
        found[what] = {**found[what], "other": next(iter(found[what].values()))}
        return tuple(found.values())

    method.loss_terms = changed
    with pytest.raises(ValueError, match=rf"FixMatch\.loss_terms must return the {what} .*, got"):
        method.train_step(batch_for(method, ROWS * config.unlabeled_ratio))


@pytest.mark.parametrize(("name", "same"), [("nrw", "fixmatch"), ("nrw_darp", "fixmatch_darp")])
def test_no_reweighting_is_the_method_without(name, same):
    one, other = recipes.RECIPES[name], recipes.RECIPES[same]
    assert (one.method, one.rebalancers, one.defaults) == (
        other.method,
        other.rebalancers,
        other.defaults,
    )


def test_the_method_that_the_docs_write_trains(noise, monkeypatch):
    page = (pathlib.Path(__file__).parents[1] / "docs" / "extending.md").read_text()
    (block,) = (one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Pi" in one)
    made = types.ModuleType("newcomer")
    exec(compile(block, "docs/extending.md", "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, "newcomer", made)
    flags = recipes.METHODS["mean_teacher"].flags
    there = recipes.Component("newcomer.PiModel", [f for f in flags if not f.startswith("ramp")])
    monkeypatch.setitem(recipes.METHODS, "mean_teacher", there)
    test_one_step_moves_the_weights_and_every_term_counts("mean_teacher", noise)
