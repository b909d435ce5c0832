"""Options, devices and fixtures of all tests."""

import contextlib
import copy
import functools
import gc
import json
import os
import pathlib
import signal

# Before any import of TensorFlow. 3: its wheel reports at level 2 that there is no GPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The expected numbers are those of a CPU, and the processes of tests would share the GPU's memory.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import hypothesis
import pytest

import drw_tf  # noqa: F401

# The same examples on every run; no deadline, as the first call of a graph traces it.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

TESTS = pathlib.Path(__file__).parent
# Folders and files of the tests that take longest.
LONG = (
    *("training", "end_to_end", "test_entry_points.py", "serving", "data", "test_recipes.py"),
    *("test_predict.py", "test_finished_run.py", "test_reweighting.py", "test_ending.py"),
    "test_any_flags.py",
)
MINIMUM = TESTS / "minimum_tests.txt"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")


def pytest_collection_modifyitems(config, items):
    # What takes long is handed out first, so that both processes end together.
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in LONG)
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_collection_finish():
    # The modules and the tests live to the end, and every full collection would walk through them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


# What a test need not wait for


@pytest.fixture(scope="session", autouse=True)
def _no_flushes():
    """No test outlasts a power cut; those of what is flushed replace these by their own."""

    def fsync(descriptor):
        os.fstat(descriptor)  # what is no open file is an error still

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "sync", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _code_is_asked_for_once():
    """Three processes of git for each record; `environment.git_state` has tests of its own."""
    from drw_tf.report import environment

    asked = functools.cache(environment.code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "code", lambda: copy.deepcopy(asked()))
        yield


# Devices


def pytest_sessionstart(session):
    """Gives every process that runs tests two CPUs, which only works before their first use."""
    hands_out = session.config.getoption("numprocesses", None)
    if hands_out and not hasattr(session.config, "workerinput"):
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def stopped_between_runs(monkeypatch):
    """In this context SIGTERM comes when a training by `child.train` has ended: code 75."""

    @contextlib.contextmanager
    def make():
        from drw_tf import child

        before = signal.getsignal(signal.SIGTERM)
        train = child.train

        def stopped(words, workdir):
            train(words, workdir)
            assert signal.getsignal(signal.SIGTERM) != before
            signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(child, "train", stopped)
        with pytest.raises(SystemExit) as caught:
            yield
        assert caught.value.code == 75
        assert signal.getsignal(signal.SIGTERM) == before

    return make


@pytest.fixture(scope="session")
def two_replicas():
    """The MirroredStrategy of this process over two CPUs: a second one breaks all-reduce."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def golden():
    """golden(name): the content of tests/golden/<name>.json."""

    def load(name):
        return json.loads((TESTS / "golden" / f"{name}.json").read_text(encoding="utf-8"))

    return load


# A test that no longer runs is noticed: a whole run must pass as many as MINIMUM says.


def _is_whole_run(config):
    chosen = ("file_or_dir", "keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf")
    stops_early = ("collectonly", "maxfail", "stepwise")
    return not any(config.getoption(name, None) for name in (*chosen, *stops_early))


def _passed(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("passed", []))


def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if hasattr(config, "workerinput") or exitstatus != pytest.ExitCode.OK:
        return
    if _is_whole_run(config) and _passed(config) < int(MINIMUM.read_text()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if exitstatus != pytest.ExitCode.OK or not _is_whole_run(config):
        return
    passed, minimum = _passed(config), int(MINIMUM.read_text())
    if passed < minimum:
        terminalreporter.write_line(
            f"FAILED: {passed} tests passed, and tests/{MINIMUM.name} asks for {minimum}.", red=True
        )
    elif passed > minimum and not config.getoption("--slow"):
        terminalreporter.write_line(f"tests/{MINIMUM.name} can be raised to {passed}.")
