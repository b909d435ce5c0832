"""TensorFlow's errors as a user reads them."""

import re


def one_line(error: Exception) -> str:
    """At most 300 characters of what an error says, on one line."""
    # TensorFlow puts the operation's place before its message.
    return " ".join(re.sub(r"\{\{.*?\}\}", "", str(error)).split())[:300]
