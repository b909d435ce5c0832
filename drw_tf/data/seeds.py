"""Sub-seeds by name, so that what is random in one place does not move another."""

import hashlib


def seed_for(seed: int, name: str) -> int:
    """A 63-bit seed, the same on every machine, for the use called `name`.

    Args:
        seed: of the run, >= 0.
        name: of what is drawn, as "labeled/order".
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
