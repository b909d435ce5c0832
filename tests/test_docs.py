"""What the pages in docs/ say of flags, files and code is true."""

import ast
import pathlib
import re
import types

import numpy as np
import pytest

from drw_tf import command, flag_table
from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.rebalance import base as rebalance

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Flags of other programs.
FOREIGN = {"dir", "all", "tag_set", "signature_def", "inputs", "output", "slow", "saved"}
# Of Slurm, up to the first dash.
FOREIGN |= {"gpus", "job", "kill", "nodes", "ntasks", "open", "requeue", "signal", "time"}
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks(name):
    return CODE.findall((ROOT / "docs" / name).read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_flag_and_file_in_a_page_exists(page):
    text = page.read_text()
    known = FOREIGN | {flag.name for flag in flag_table.FLAGS} | {"helpfull", "flagfile"}
    for program in command.programs():
        known |= {flag.name for flag in command.flags_of(program)}
    for script in set(re.findall(r"scripts/\w+\.py", text)):
        options = r'add_argument\("--(\w+)"|DEFINE_\w+\(\s*"(\w+)"'
        for pair in re.findall(options, (ROOT / script).read_text()):
            known |= {*pair} - {""}
    assert set(re.findall(r"--([a-z][a-z_]*)", text)) <= known
    found = re.findall(r"(?:drw_tf|scripts|flags|tests|examples)/[\w/]+\.(?:py|sh|txt|flags)", text)
    for path in found:
        assert (ROOT / path).exists(), path
    for path in re.findall(
        r"\]\((?!https:)([\w./]+)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    ):
        assert (page.parent / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_code_in_a_page_parses_and_programs_in_it_exist(page):
    for block in blocks(page.name):
        ast.parse(block)
    text = page.read_text()
    named = set(re.findall(r"(?:python -m drw_tf\.|drw-tf )([a-z]\w+)", text))
    assert named <= {*command.programs(), "completion"}


def commands():
    """The arguments of every `drw_tf.train` in the pages' blocks that is written out."""
    for page in (ROOT / "README.md", *PAGES):
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            text = re.sub(r" +#.*", "", block.replace("\\\n", " "))
            for line in re.findall(r"drw_tf\.train (--(?!help).*)", text):
                yield pytest.param(re.sub(r" \.\.\.$", "", line).split(), id=page.stem)
            arguments = re.findall(r"^ +- (--\S+)$", text, re.MULTILINE)
            if arguments:
                yield pytest.param(arguments, id=page.stem)


@pytest.mark.parametrize("arguments", list(commands()))
def test_commands_are_accepted(arguments, monkeypatch):
    monkeypatch.chdir(ROOT)  # of their flagfiles
    configuration.resolve(configuration.parse(["train", *arguments]))


def run(block):
    made = types.ModuleType("newcomer")
    exec(compile(block, "docs/extending.md", "exec"), made.__dict__)
    return made


def test_the_rebalancer_of_the_page_weighs_by_the_root_of_the_inverse_count():
    made = run(blocks("extending.md")[0])
    facts = rebalance.Facts(3, np.array([16.0, 4.0, 1.0]), 10, 1, 1)
    one = made.InverseFrequency(rebalance.Hyperparameters({}, ()), facts)
    np.testing.assert_allclose(one.labeled_weights([0, 1, 2]), [1.0, 2.0, 4.0])
    np.testing.assert_allclose(one.describe()["labeled_weights"], [1.0, 2.0, 4.0])


def test_the_data_set_of_the_page_loads():
    found = run(blocks("extending.md")[2]).load()
    assert isinstance(found, records.Dataset)
    assert found.train.pixels.shape == (1200, 8, 8, 1)
    assert found.train.pixels.dtype == np.uint8
    assert records.class_counts(found.train.labels, 4).tolist() == [300] * 4
    assert not np.array_equal(found.train.pixels[:200], found.test.pixels)
