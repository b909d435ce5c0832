"""Logit adjustment: removing the class prior from a network's answers when it is tested."""

import tensorflow as tf

from drw_tf.ops import checks

PRIORS = ("labeled", "effective", "pseudo")


def adjust_logits(logits: tf.Tensor, prior: tf.Tensor, tau: float = 1.0) -> tf.Tensor:
    """Logits as if all classes were equally frequent, for testing only.

        f_c - tau log(prior_c)

    >>> adjust_logits([[2.0, 1.0]], prior=[1.0, 1.0]).numpy().tolist()  # nothing to remove
    [[2.0, 1.0]]
    >>> int(tf.argmax(adjust_logits([[2.0, 1.0]], prior=[0.9, 0.1])[0]))
    1

    Args:
        logits: [B, C].
        prior: [C], > 0; its scale adds the same to every class and so does not matter.
        tau: dimensionless, >= 0; 0 changes nothing.

    Returns:
        float64 [B, C].

    Raises:
        ValueError: a prior is not positive or `tau` is negative.

    Source:
        The paper's Sec. 6.2; Menon et al., ICLR 2021 (arXiv:2007.07314).
    """
    tau = checks.as_float64(tau)
    checks.require("tau", tau, lambda known: known >= 0, ">= 0")
    prior = checks.as_float64(prior)
    checks.require("prior", prior, lambda known: known > 0, "> 0")
    return checks.as_float64(logits) - tau * tf.math.log(prior)


def adjustment_prior(
    kind: str,
    labeled_counts: tf.Tensor | None = None,
    labeled_weights: tf.Tensor | None = None,
    pseudo_numbers: tf.Tensor | None = None,
) -> tf.Tensor:
    """Class prior that `adjust_logits` removes.

        "labeled"    proportional to N_c
        "effective"  proportional to N_c w_c, the prior that a weighted loss has seen:
                     removing all of N_c from a network trained with weights overcorrects
        "pseudo"     proportional to the pseudo numbers

    A count below 1 is taken as 1.

    >>> adjustment_prior("labeled", [6, 2]).numpy().tolist()
    [0.75, 0.25]

    Args:
        kind: one of `PRIORS`.
        labeled_counts: [C], labeled examples per class, >= 0.
        labeled_weights: [C], what `reweighting.class_weights` made of them, > 0.
        pseudo_numbers: [C], what `reweighting.pseudo_numbers` returns.

    Returns:
        float64 [C], > 0, sums to 1.

    Raises:
        ValueError: an unknown kind, or the numbers it needs are missing or negative.
    """
    if kind not in PRIORS:
        raise ValueError(f"prior must be one of {', '.join(PRIORS)}, got {kind!r}.")
    needed = {"labeled_counts": labeled_counts}
    if kind == "effective":
        needed["labeled_weights"] = labeled_weights
    elif kind == "pseudo":
        needed = {"pseudo_numbers": pseudo_numbers}
    for name, value in needed.items():
        if value is None:
            raise ValueError(f"prior {kind!r} needs {name}, got None.")
    counts, *weights = (checks.at_least(0, name, value) for name, value in needed.items())
    prior = tf.maximum(counts, 1.0)
    if weights:
        prior *= weights[0]
    return prior / tf.reduce_sum(prior)
