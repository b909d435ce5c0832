"""What importing `drw_tf` does, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

CHOSEN = """
import drw_tf
from tensorflow.python.util import _pywrap_util_port as port
print(port.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 alone has oneDNN's")
@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (None, "True"),
        pytest.param("0", "False", marks=pytest.mark.slow),
        pytest.param("1", "True", marks=pytest.mark.slow),
    ],
)
def test_onednns_kernels_are_taken_unless_the_user_says_otherwise(given, chosen):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    done = subprocess.run(
        [sys.executable, "-c", CHOSEN], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == chosen


def test_importing_the_package_imports_no_tensorflow():
    code = "import sys, drw_tf; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("given", "chosen"), [(None, "true"), ("false", "false")])
def test_a_gpus_memory_is_not_taken_all_at_once_unless_the_user_says_so(given, chosen):
    environment = {k: v for k, v in os.environ.items() if k != "TF_FORCE_GPU_ALLOW_GROWTH"}
    if given is not None:
        environment["TF_FORCE_GPU_ALLOW_GROWTH"] = given
    code = "import os, drw_tf; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == chosen


@pytest.mark.parametrize(
    ("given", "folder", "chosen"),
    [
        (None, "wheels", "--xla_gpu_cuda_data_dir={root}"),
        (None, "my wheels", "--xla_gpu_cuda_data_dir='{root}'"),
        ("--xla_dump_to=x", "wheels", "--xla_dump_to=x --xla_gpu_cuda_data_dir={root}"),
        ("--xla_gpu_cuda_data_dir=y", "wheels", "--xla_gpu_cuda_data_dir=y"),
        ("flags.txt", "wheels", "flags.txt"),
    ],
)
def test_xla_is_told_where_the_wheels_have_its_library(tmp_path, given, folder, chosen):
    path = tmp_path / folder
    root = path / "nvidia" / "cuda_nvcc"
    (root / "nvvm" / "libdevice").mkdir(parents=True)
    (path / "nvidia" / "__init__.py").touch()  # that of this environment is not looked at then
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(path), *sys.path])
    environment |= {} if given is None else {"XLA_FLAGS": given}
    code = "import os, drw_tf; print(os.environ.get('XLA_FLAGS', ''))"

    def found():
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert found() == (given or "")  # no such library
    (root / "nvvm" / "libdevice" / "libdevice.10.bc").touch()
    assert found() == chosen.format(root=root)


def test_programs_that_tests_start_see_no_gpu():
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "-1"
