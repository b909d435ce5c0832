"""Scripts as modules, and as commands."""

import importlib
import pathlib
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


@pytest.fixture
def load(monkeypatch):
    """load("flops"): a module of the folder of scripts."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module


@pytest.fixture(scope="session")
def run():
    """run("x.py", "--flag=1"): what the script prints; from another folder, without PYTHONPATH."""

    def call(name, *arguments, code=0):
        command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd="/"
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return call
