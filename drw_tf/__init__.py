"""Dynamic re-weighting for long-tailed semi-supervised learning, in TensorFlow."""

import importlib.util
import os
import platform

__version__ = "0.1.0"

# By itself TensorFlow takes oneDNN's kernels only where the processor has AVX-512 VNNI or the like;
# with AVX2 alone they are half again as fast (docs/speed.md). Read at the import of TensorFlow.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# By itself TensorFlow takes all memory of every GPU, and beside a training nothing else could run
# there, such as the export of its last checkpoint. Read at the first use of a GPU.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _name_cuda_compiler() -> None:
    """Tells XLA where the wheels of NVIDIA have `libdevice`, which every compiled step needs.

    TensorFlow 2.15 looks for it by a path that it does not end, and where it misses the process is
    aborted. What the user has set stays.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if "xla_gpu_cuda_data_dir" in flags or (flags and not flags.startswith("-")):
        return  # without a dash it is the name of a file of flags
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        root = os.path.join(folder, "cuda_nvcc")
        if os.path.isfile(f"{root}/nvvm/libdevice/libdevice.10.bc"):
            value = f"'{root}'" if " " in root else root
            os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_cuda_data_dir={value}".strip()
            return


_name_cuda_compiler()
