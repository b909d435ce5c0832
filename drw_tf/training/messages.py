"""TensorFlow's errors as a user reads them."""

import re

# Operations' names and places, which stand before and after what an error of a graph says.
_PLACES = re.compile(
    r'^Detected at node.*$|^\s*File ".*$|^Graph execution error:$|^<stack traces unavailable>$'
    r"|\[\[.*?\]\]|\{\{.*?\}\}|\[Op:.*?\]",
    re.MULTILINE,
)


def without_places(error: Exception) -> str:
    """What an error says, without where it was seen: a fault may show itself anywhere."""
    return _PLACES.sub("", str(error))


def one_line(error: Exception) -> str:
    """At most 300 characters of what an error says, on one line."""
    return " ".join(without_places(error).split())[:300]
