"""Starts TensorFlow without its start-up noise; its errors stay."""

import contextlib
import logging
import os
import sys
import tempfile
from typing import IO


@contextlib.contextmanager
def startup():
    """Context in which TensorFlow is to be imported for the first time.

    The wheel reports on standard error, as errors, that CUDA's plugins are registered twice.
    What is written there meanwhile is shown only if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with _scratch() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
            # In a notebook TensorFlow also reports what goes well.
            logging.getLogger("tensorflow").setLevel(logging.WARNING)
        except Exception:
            sys.stderr.flush()
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def _scratch() -> IO[bytes]:
    """A file without a name; in memory where the system has that, as the disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("standard error"), "w+b")
    return tempfile.TemporaryFile()
