"""What the log of a run does before it goes on."""

import logging
import types

import pytest
import tensorflow as tf

from drw_tf import run_log
from drw_tf.report import event_files


@pytest.mark.parametrize("lost", [0, 5])
def test_a_damaged_end_is_cut_off_with_a_warning(tmp_path, caplog, lost):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in (1, 2, 3):
            tf.summary.scalar("loss", 0.5, step=step)
    writer.close()
    (path,) = event_files.find(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - lost])
    run = types.SimpleNamespace(dataset=types.SimpleNamespace(class_names=["a", "b"]))
    log = run_log.RunLog(run, tmp_path)
    with caplog.at_level(logging.WARNING, "drw_tf"):
        log.start(3)
    log.log.close()
    path = event_files.find(tmp_path)[0]  # of before the one that was begun now, and so named
    expected = [f"the end of {path} was damaged and is cut off"] if lost else []
    assert caplog.messages == expected
