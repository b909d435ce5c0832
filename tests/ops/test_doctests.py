"""The examples in the docstrings are true."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import ops

MODULES = sorted(found.name for found in pkgutil.iter_modules(ops.__path__, "drw_tf.ops."))
# Modules that people take formulas from: each public function has an example.
SHOWN = ("reweighting", "logit_adjustment", "calibration")


def examples(module):
    finder = doctest.DocTestFinder(exclude_empty=False)
    return [one for one in finder.find(module, module.__name__) if one.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    printed = []
    for one in examples(module):
        one.globs |= {"tf": tf, "np": np}
        runner.run(one, out=printed.append)
    assert runner.failures == 0, "".join(printed)


@pytest.mark.parametrize("name", SHOWN)
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(f"drw_tf.ops.{name}")
    own = {
        f"{module.__name__}.{key}"
        for key, value in vars(module).items()
        if callable(value) and value.__module__ == module.__name__ and key[0] != "_"
    }
    assert own
    assert own <= {one.name for one in examples(module)}
