"""What flags that are all allowed do to one another, before any data are read."""

import numpy as np
import pytest

from drw_tf import config, contradictions, recipes
from drw_tf.rebalance import base


def resolve(*arguments):
    return config.resolve(config.parse(["train", *arguments]))


def weighs_later(flags):
    """Whether the method itself ever has class weights that it had not for all of the run."""
    counts = np.array([40.0, 10.0])
    facts = base.Facts(2, counts, 100, flags.steps, flags.steps_per_epoch)
    parts = [recipes.REBALANCERS[key] for key in flags.recipe.rebalancers]
    made = {
        part.path.rpartition(".")[2]: part.load()(base.Hyperparameters(flags, part.flags), facts)
        for part in parts
    }
    stages = [found for one in made.values() if (found := one.stages(flags.steps))]
    end = stages[0][0].steps if stages else flags.steps
    (late,) = [
        made[name]
        for name in ("DynamicWeights", "FixedUnlabeledWeights", "MarginLoss")
        if name in made
    ]
    step = 0
    while step < end:
        if np.ptp(late.class_weights.numpy()) > 0:
            return True
        step += flags.steps_per_epoch
        late.end_epoch(base.Observation(step, 2 * counts))
    return False


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], None),
        (["--steps=100"], None),
        (["--steps=50"], "unlabeled loss is never weighted: weights come at the end of an epoch, "
         "first after step 50 (--reweight_start=0.3, --steps_per_epoch=50), and step 50 is"),
        (["--steps=50", "--reweight_start=0"], "first after step 50 (--reweight_start=0, "),
        (["--steps=100", "--reweight_start=0"], None),
        (["--reweight_start=.98"], None),
        (["--reweight_start=.99"], "first after step 3000 (--reweight_start=0.99, "),
        (["--method=frwu", "--steps=50"], None),
        (["--method=frwlu", "--steps=50", "--reweight_start=.01"], None),  # half a step
        (["--method=frwlu", "--steps=50", "--reweight_start=.02"], "first after step 50 (--rew"),
        (["--method=drw_crt"], None),
        (["--method=drw_crt", "--crt_head_fraction=.68"], None),
        (["--method=drw_crt", "--crt_head_fraction=.7"], "first after step 900 (--reweight_start="
         "0.3, --steps_per_epoch=50), and step 900 is the last that they are for; more --steps"),
        (["--method=drw_crt", "--crt_head_fraction=0", "--reweight_start=.96"], None),
        (["--method=drw_crt", "--crt_head_fraction=0", "--reweight_start=.98"], "step 2950 is the"),
        (["--method=ldam_drw"], None),
        (["--method=ldam_drw", "--deferred_start=.98"], None),
        (["--method=ldam_drw", "--deferred_start=.99"], "the labeled loss is never weighted: "),
        (["--method=ldam_drw", "--steps=50", "--deferred_start=0"], None),
    ],
)  # fmt: skip
def test_weights_that_come_when_no_step_is_left_are_told(words, told):
    flags = resolve(*words)
    lines = list(contradictions.doubts(flags))
    assert [told in line for line in lines] == [True] * (told is not None)
    assert weighs_later(flags) is (told is None)


def test_weights_that_are_meant_never_to_come_are_not_told():
    flags = resolve("--method=ldam_drw", "--deferred_start=1")
    assert not weighs_later(flags)
    assert list(contradictions.doubts(flags)) == []


def test_a_true_prior_that_nothing_reads_is_refused():
    words = ["--unlabeled_prior=true", "--align_distribution=false"]
    for method in ("remixmatch", "remixmatch_drw", "remixmatch_cdmad"):
        with pytest.raises(config.ConfigError) as caught:
            resolve(f"--method={method}", *words)
        assert str(caught.value) == (
            f"--unlabeled_prior is read with --align_distribution=true alone by --method={method}, "
            "got true and --align_distribution=false."
        )
        assert resolve(f"--method={method}", words[0]).unlabeled_prior == "true"
        assert not resolve(f"--method={method}", words[1]).align_distribution
    assert resolve("--method=remixmatch_darp", *words).unlabeled_prior == "true"
