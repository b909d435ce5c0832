"""A finished run judged as the method that adds logit adjustment at test time to its own.

Training is the same step for step, so DRw + LA needs no training of its own, and a run of DRw + LA
none for another prior.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from drw_tf import config as configuration
from drw_tf import flag_table, recipes

_ADJUSTMENT = "logit_adjustment"
FLAGS = recipes.REBALANCERS[_ADJUSTMENT].flags


def configuration_as(
    config: configuration.Config, method: str, given: Mapping
) -> configuration.Config:
    """The configuration of the run as it would be of the other method.

    Args:
        config: of a run.
        method: recipe with logit adjustment that is the run's own apart from that, with the same
            defaults.
        given: values of `FLAGS`, None for the run's own one, or the default where it has none.

    Raises:
        ConfigError: training as `method` is another one, or a value is not allowed; or the run
            itself was judged so.
    """
    trained = _training(recipes.RECIPES[config.method])
    fitting = [
        name
        for name, recipe in recipes.RECIPES.items()
        if _ADJUSTMENT in recipe.rebalancers and _training(recipe) == trained
    ]
    if method not in fitting:
        allowed = f"one of {', '.join(fitting)}" if fitting else "left out"
        raise configuration.ConfigError(
            f"--as_method must be {allowed} for a run of {config.method}, got {method!r}."
        )
    values = {name: value for name, value in config.items() if value is not None}
    values |= {name: value for name, value in given.items() if value is not None}
    found = configuration.resolve({**values, "method": method})
    if method == config.method and all(found[name] == config[name] for name in FLAGS):
        # Its record would be that of the run once more.
        own_flags = " and ".join(f"--{name}={config[name]}" for name in FLAGS)
        raise configuration.ConfigError(
            f"--as_method={method} must have another prior or strength than the run, {own_flags}; "
            "without --as_method the run is judged by those."
        )
    return found


def _training(recipe: recipes.Recipe) -> recipes.Recipe:
    """A recipe as far as training is concerned."""
    rebalancers = tuple(name for name in recipe.rebalancers if name != _ADJUSTMENT)
    return dataclasses.replace(recipe, help="", rebalancers=rebalancers)


def adjustment(run, state: Mapping, config: configuration.Config) -> Callable:
    """What the other method does with logits: (float [N, C], network) -> float64 [N, C].

    Args:
        run: and
        state: of `finished_run.open_run`.
        config: of `configuration_as`.
    """
    from drw_tf.rebalance import base, logit_adjustment

    hyper = base.Hyperparameters(config, FLAGS)
    added = logit_adjustment.LogitAdjustment(hyper, run.method.facts)
    added.attach(run.method.rebalancers)
    # An epoch of which all steps were skipped has none, and left the prior as it was.
    counted = [entry for entry in _ended(state) if "pseudo_numbers" in entry]
    numbers = np.asarray(counted[-1]["pseudo_numbers"]) if counted else None
    added.end_epoch(base.Observation(state["step"], numbers))
    return added.adjust


def last_epoch(state: Mapping) -> Mapping:
    """What is known of the last epoch of a checkpoint, which may not have been evaluated.

    Raises:
        ConfigError: no epoch has ended.
    """
    return _ended(state)[-1]


def _ended(state: Mapping) -> list[Mapping]:
    """All epochs that ended, oldest first."""
    ended = [entry for entry in (*state["history"], state.get("unevaluated")) if entry]
    if not ended:
        raise configuration.ConfigError("--as_method needs a run of which an epoch has ended.")
    return ended


def record_of(
    earlier: Mapping,
    state: Mapping,
    config: configuration.Config,
    found: Mapping,
    command: list[str],
) -> dict:
    """The record of the other method: of the last evaluation, the only one that can be made.

    Args:
        earlier: record of the run.
        state: of `finished_run.open_run`.
        config: of `configuration_as`.
        found: metrics by network, with "ema_unadjusted", of the "test" pictures, and of the
            "validation" ones where there are any.
        command: what was typed.
    """
    from drw_tf.report import record

    # That of the training, as the seconds are.
    code = {name: earlier[name] for name in ("versions", "git")}
    # That of the run is of its own adjustment.
    epoch = {name: one for name, one in last_epoch(state).items() if name != "adjustment_prior"}
    return record.build_record(
        command_line=command,
        configuration=config,
        dataset=earlier["dataset"],
        history=[{**epoch, "step": earlier["steps"], **found}],
        steps=earlier["steps"],
        seconds=earlier["seconds"],
        images_per_second=earlier["images_per_second"],
        makers=earlier.get("made_by", [{"from_step": 0, **code}]),
        machine=earlier["machine"],
        start=earlier.get("start"),
    )


def flags() -> tuple[flag_table.Flag, ...]:
    """Those of logit adjustment, as flags of another program."""
    known = [flag_table.BY_NAME[name] for name in FLAGS]
    return tuple(
        dataclasses.replace(
            flag,
            default=None,
            help=f"with --as_method: {flag.help} [the run's own, else {flag.default}]",
        )
        for flag in known
    )
