"""Dynamic re-weighting for long-tailed semi-supervised learning, in TensorFlow."""

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
