import hypothesis
from hypothesis import strategies as st

from drw_tf.data import seeds


def test_a_seed_is_the_same_on_every_machine():
    # printf '0/split' | sha256sum gives 68a30a9f8b07670a...; little-endian, without the last bit.
    assert seeds.seed_for(0, "split") == 0x0A67078B9F0AA368 >> 1


@hypothesis.given(st.integers(0, 2**31), st.text(max_size=20))
def test_seeds_are_63_bits_wide(seed, name):
    assert 0 <= seeds.seed_for(seed, name) < 2**63


def test_neither_seeds_nor_names_share_a_sub_seed():
    names = ("split", "split/0", "split/1", "labeled/order", "unlabeled/order")
    found = {seeds.seed_for(seed, name) for seed in range(100) for name in names}
    assert len(found) == 500
