"""What the pages tell the reader to type is accepted."""

import pathlib
import re

import pytest

from drw_tf import config as configuration

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"


def commands():
    """The arguments of every `drw_tf.train` in the pages' blocks that is written out."""
    for page in sorted(DOCS.glob("*.md")):
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            text = block.replace("\\\n", " ")
            for line in re.findall(r"drw_tf\.train (--.*)", text):
                yield pytest.param(re.sub(r" \.\.\.$", "", line).split(), id=page.stem)
            arguments = re.findall(r"^ +- (--\S+)$", text, re.MULTILINE)
            if arguments:
                yield pytest.param(arguments, id=page.stem)


@pytest.mark.parametrize("arguments", list(commands()))
def test_commands_are_accepted(arguments):
    configuration.resolve(configuration.parse(["train", *arguments]))


def test_files_that_are_named_exist():
    for page in DOCS.glob("*.md"):
        for path in re.findall(r"drw_tf/[\w/]+\.py", page.read_text(encoding="utf-8")):
            assert (ROOT / path).is_file(), (page.name, path)
