import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.report import environment


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with a package in it; returns the package's folder."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return package


def test_versions_are_those_of_the_running_process():
    got = environment.versions()
    assert got["python"] == ".".join(map(str, sys.version_info[:3]))
    assert got["tensorflow"] == tf.__version__
    assert got["numpy"] == np.__version__
    assert got["tensorflow_addons"] == "0.23.0"


def test_commit_of_a_clean_checkout(checkout):
    head = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True)
    assert environment.git_state(checkout) == {"commit": head.strip(), "dirty": False}


def test_changed_and_new_files_of_the_package_make_it_dirty(checkout):
    (checkout / "__init__.py").write_text("changed = True")
    assert environment.git_state(checkout)["dirty"]
    git(checkout, "checkout", "-q", ".")
    (checkout / "new.py").write_text("")
    assert environment.git_state(checkout)["dirty"]


def test_files_outside_the_package_do_not_make_it_dirty(checkout):
    (checkout.parent / "runs").mkdir()
    (checkout.parent / "runs" / "log.txt").write_text("")
    assert not environment.git_state(checkout)["dirty"]


def test_package_installed_below_a_foreign_checkout_has_no_commit(checkout):
    installed = checkout.parent / ".venv" / "drw_tf"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert environment.git_state(installed) is None


def test_package_outside_a_checkout_has_no_commit(tmp_path):
    assert environment.git_state(tmp_path) is None


def test_checkout_without_git_installed_has_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.git_state(checkout) is None


def test_machine_has_cores_and_a_processor():
    got = environment.machine()
    assert got["cores"] >= 1
    assert got["cpu"]
    assert got["gpus"] == [] or all(isinstance(name, str) for name in got["gpus"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx f16c avx2\n", "AMD EPYC, AVX2"),
        ("model name\t: AMD EPYC\nflags\t\t: avx avx2 avx512f avx512_vnni\n", "AMD EPYC, AVX-512"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu sse2\n\nmodel name\t: second\n", "AMD EPYC"),
    ],
)
def test_processor_is_told_with_its_widest_vectors(monkeypatch, tmp_path, text, told):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "cpuinfo")
    assert environment.machine()["cpu"] == told
