"""Names in a message: ten, and how many more; and numbers of things."""

import pytest

from drw_tf.data import naming


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("", ""),
        ("ab", "a, b"),
        ("abcdefghij", "a, b, c, d, e, f, g, h, i, j"),
        ("abcdefghijkl", "a, b, c, d, e, f, g, h, i, j and 2 more"),
    ],
)
def test_ten_are_named_and_the_others_counted(names, text):
    assert naming.some([*names]) == text


def test_a_name_stays_in_its_line_and_can_be_written():
    assert naming.shown("bad\nline é 猫.jpg") == "bad\\nline é 猫.jpg"
    assert naming.shown("x.\udcff") == "x.\\udcff"
    assert naming.some(["a\nb", "c"]) == "a\\nb, c"


def test_separator_may_be_another():
    assert naming.some(["line 1: a", "line 2: b"], "; ") == "line 1: a; line 2: b"
    assert naming.some(["a"] * 12, "; ").endswith("; a; and 2 more")


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, ("picture",), "0 pictures"),
        (1, ("picture",), "1 picture"),
        (1200, ("test picture",), "1,200 test pictures"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_one_thing_is_not_called_several(number, noun, text):
    assert naming.counted(number, *noun) == text
