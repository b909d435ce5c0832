"""What several rebalancers say about the same thing, as one."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import tensorflow as tf

Value = TypeVar("Value")


def only(what: str, values: Iterable[Value | None]) -> Value | None:
    """The one value that is offered, None where there is none.

    Args:
        what: the rebalancers replace, for the message.
        values: what each of them offers.

    Raises:
        ValueError: two are offered; they would contradict each other.
    """
    offered = [value for value in values if value is not None]
    if len(offered) > 1:
        raise ValueError(f"two rebalancers replace {what}; a recipe may hold one.")
    return offered[0] if offered else None


def product(factors: Iterable[tf.Tensor | None]) -> tf.Tensor | None:
    """The product of what is offered, None where nothing is."""
    factors = [factor for factor in factors if factor is not None]
    if not factors:
        return None
    found = factors[0]
    for factor in factors[1:]:
        found *= factor
    return found


def merged(parts: Iterable[Mapping]) -> dict:
    """All parts as one.

    Raises:
        ValueError: a name is in two of them; one would hide the other.
    """
    found = {}
    for part in parts:
        for name, value in part.items():
            if name in found:
                raise ValueError(f"{name} is given twice; two parts of a recipe have this name.")
            found[name] = value
    return found
