"""The lock of a run's folder is waited for no longer than asked."""

import threading
import time

import pytest

from drw_tf.training import workdir


@pytest.fixture
def held(tmp_path):
    folder = workdir.Workdir(tmp_path)
    yield folder
    folder.release()


def test_a_lock_is_waited_for_and_the_wait_is_told(held, caplog):
    timer = threading.Timer(0.3, held.release)
    timer.start()
    own = workdir.Workdir(held.path, wait_seconds=20)
    timer.join()
    own.release()
    (told,) = caplog.messages
    assert "is in use by process" in told
    assert told.endswith("waiting for it.")


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_lock_that_stays_is_refused_after_that_time(held, seconds):
    began = time.monotonic()
    with pytest.raises(workdir.WorkdirError, match="in use by process"):
        workdir.Workdir(held.path, wait_seconds=seconds)
    assert seconds <= time.monotonic() - began < seconds + 5
