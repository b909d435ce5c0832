"""Where a run took place: versions, commit, machine."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess

import tensorflow as tf

import drw_tf
from drw_tf.data import parallelism

_CPUINFO = pathlib.Path("/proc/cpuinfo")
# Widest first, as Linux and as people call them.
_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))


def versions() -> dict[str, str | None]:
    """Version of Python and of each package that a result depends on; None if absent."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": _installed("keras"),
        "tensorflow_addons": _installed("tensorflow-addons"),
        "tensorflow_datasets": _installed("tensorflow-datasets"),
        "numpy": _installed("numpy"),
        "drw_tf": drw_tf.__version__,
    }


def git_state(package: str | os.PathLike | None = None) -> dict[str, str | bool] | None:
    """Commit that the package was run from, None if it does not lie in its git checkout.

    A package installed below somebody else's checkout is not part of that checkout: its
    files must be known to git there.

    Args:
        package: folder of the package; the one of `drw_tf` if None.

    Returns:
        "commit", 40 hexadecimal digits, and "dirty", whether files of the package differ
        from it or are not in it; or None.
    """
    folder = pathlib.Path(package or pathlib.Path(drw_tf.__file__).parent).resolve()
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ".")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def code() -> dict:
    """{"versions": ..., "git": ...}, what a result was computed with."""
    return {"versions": versions(), "git": git_state()}


def machine() -> dict[str, str | int | list[str]]:
    """Processor ("AMD EPYC, AVX2"), number of cores that may be used, names of the GPUs."""
    return {
        "cpu": _cpu_model(),
        "cores": parallelism.usable_cores(),
        "gpus": [_gpu_name(device) for device in tf.config.list_physical_devices("GPU")],
        "system": platform.platform(),
    }


def _installed(distribution: str) -> str | None:
    """Version of an installed distribution, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """Output of a git command in a folder, None if git is missing or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    """Name of the processor as its maker gives it, and its widest vectors where that is told.

    Makers give one name to processors whose steps differ by a factor of two.
    """
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = {}
    for name, _, value in (line.partition(":") for line in lines):
        fields.setdefault(name.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    can = fields.get("flags", "").split()
    vectors = [name for flag, name in _VECTORS if flag in can]
    return ", ".join([model, *vectors[:1]])


def _gpu_name(device: tf.config.PhysicalDevice) -> str:
    """Name of a GPU as its driver gives it."""
    return tf.config.experimental.get_device_details(device).get("device_name", device.name)
