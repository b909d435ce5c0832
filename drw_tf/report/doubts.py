"""What a run has come to that its user may not expect, a line each."""

from collections.abc import Iterator, Mapping, Sequence

from drw_tf.data import naming
from drw_tf.report import tables

# Below this share of confident pictures a pool is as good as not there.
_HARDLY_ANY = 0.01


def lines(
    configuration: Mapping, history: Sequence[Mapping], class_names: Sequence[str]
) -> Iterator[str]:
    """The lines, each the whole of a sentence without its full stop.

    Args:
        configuration: flags of the run, or of the method that it is judged as.
        history: of the run; the last entry counts.
        class_names: C names.
    """
    if history:
        yield from _prior(configuration, history[-1], class_names)
        yield from _pool(configuration, history[-1])


def _prior(configuration: Mapping, last: Mapping, class_names: Sequence[str]) -> Iterator[str]:
    """Of classes whose logits are raised as far as those of a class with one picture in all."""
    if configuration.get("la_prior") != "pseudo" or not configuration.get("la_strength"):
        return
    numbers = last.get("pseudo_numbers", ())
    empty = [name for name, number in zip(class_names, numbers, strict=False) if number <= 1]
    if empty:
        yield (
            f"in the last epoch no unlabeled picture was taken for {naming.some(empty)}, so that "
            "logits adjusted by pseudo numbers favour what is hardly ever predicted; compare "
            f"drw_tf.evaluate --as_method={configuration['method']} --la_prior=labeled, or a "
            "smaller --la_strength"
        )


def _pool(configuration: Mapping, last: Mapping) -> Iterator[str]:
    """Of unlabeled pictures that were hardly learned from."""
    share, threshold = last.get("train", {}).get("mask_rate"), configuration.get("threshold")
    if share is not None and share < _HARDLY_ANY and threshold:
        yield (
            f"in the last epoch {tables.percent(share)} % of the unlabeled pictures were sure "
            f"enough to be learned from; a --threshold below {threshold:g} takes more"
        )
