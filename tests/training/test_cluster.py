"""Several processes train as one: what they share, what one alone does, and how they end."""

import json
import math
import signal
import socket
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf import ending, session, train
from drw_tf.training import cluster
from tests.training import processes

LOST = 69
STOPPED = 75
# Long enough to be caught in the middle; small steps, as rounding grows with their number.
LONGER = ("--steps=24", "--steps_per_epoch=12", "--learning_rate=0.0005")


@pytest.fixture(autouse=True)
def _network():
    """The one that is meant, which processes of their own train."""


# ---- who the workers are


def resolved(environment, hosts=None, port=8888):
    found = cluster.resolver(environment, hosts, port)
    return found.cluster_spec().as_dict(), found.task_type, found.task_id


def test_tf_config_names_the_workers(monkeypatch):
    task = {
        "cluster": {"chief": ["a:1"], "worker": ["b:1"]},
        "task": {"type": "worker", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert resolved({"TF_CONFIG": ""}) == ({"chief": ["a:1"], "worker": ["b:1"]}, "worker", 0)


SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "n[01-02]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURMD_NODENAME": "n02",
}


@pytest.fixture
def slurm(monkeypatch):
    """slurm(NAME="value", ...): the variables of a task that srun started, changed."""

    def make(**changes):
        environment = {**SLURM, **changes}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return environment

    return make


def test_slurm_variables_name_the_workers(slurm):
    # Two tasks on the first node take ports of their own.
    expected = {"worker": ["n01:9000", "n01:9001", "n02:9000"]}
    assert resolved(slurm(), port=9000) == (expected, "worker", 2)


def test_slurm_task_whose_node_is_another_in_the_order_of_names_is_refused(slurm):
    environment = slurm(SLURM_STEP_NODELIST="n[2,10]", SLURMD_NODENAME="n10")
    with pytest.raises(cluster.ClusterError, match="runs on n10, but sorted by name"):
        resolved(environment)


def test_kubernetes_index_and_hosts_name_the_workers():
    hosts = ["drw-0.drw:2222", "drw-1.drw:2222"]
    assert resolved({"JOB_COMPLETION_INDEX": "1"}, hosts) == ({"worker": hosts}, "worker", 1)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "found none"),
        ({"JOB_COMPLETION_INDEX": "0"}, "with --cluster_hosts; found none"),
        ({"JOB_COMPLETION_INDEX": "2"}, "not usable"),
        ({"TF_CONFIG": "{"}, "not usable"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "not usable"),
        ({"SLURM_PROCID": "0"}, "not usable"),
    ],
)
def test_description_that_is_missing_or_broken_is_one_line(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hosts = ["a:1", "b:1"] if environment == {"JOB_COMPLETION_INDEX": "2"} else None
    with pytest.raises(cluster.ClusterError, match=message) as caught:
        cluster.resolver(environment, hosts, 8888)
    assert "\n" not in str(caught.value)


def test_hosts_that_another_description_hides_are_refused(slurm, monkeypatch):
    task = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", task)
    both = {"TF_CONFIG": task, "JOB_COMPLETION_INDEX": "0"}
    for environment, source in ((both, "TF_CONFIG"), (slurm(), "Slurm")):
        cluster.resolver(environment, None, 8888)
        with pytest.raises(cluster.ClusterError, match=f"left out here: {source} says who"):
            cluster.resolver(environment, ["a:1", "b:1"], 8888)


# ---- what they exchange, with the exchange itself played


class Played(cluster.Team):
    """One of `workers`; `others` is what all of them give."""

    def __init__(self, worker, workers, everyone=None):
        super().__init__(tf.distribute.get_strategy())
        self.worker, self.workers, self.everyone = worker, workers, everyone

    def _gather(self, values):
        return np.concatenate(self.everyone)


@pytest.mark.parametrize("size", [3, 7, 24])
@pytest.mark.parametrize("workers", [2, 3])
def test_parts_cover_all_rows_and_are_joined_in_order(size, workers):
    rows = np.arange(2.0 * size).reshape(size, 2)
    parts = [rows[Played(one, workers).rows(size)] for one in range(workers)]
    longest = -(-size // workers)
    padded = [np.pad(part, [(0, longest - len(part)), (0, 0)]) for part in parts]
    for one, part in enumerate(parts):
        joined = Played(one, workers, padded).joined(part, size)
        np.testing.assert_array_equal(joined, rows)


class Replicas:
    """Plays the strategy of a worker with several replicas."""

    cluster_resolver = None

    def __init__(self, worker, workers, each):
        self.num_replicas_in_sync = workers * each
        self.own = range(worker * each, worker * each + each)

    def experimental_distribute_values_from_function(self, make):
        return [make(SimpleNamespace(replica_id_in_sync_group=one)) for one in self.own]

    def experimental_local_results(self, values):
        return [values]


@pytest.mark.parametrize("rows", [1, 3, 4, 8])
@pytest.mark.parametrize(("workers", "each"), [(2, 1), (2, 4), (3, 2)])
def test_replicas_of_a_worker_send_a_part_each_and_all_is_put_together_in_order(
    rows, workers, each
):
    everyone = np.arange(2.0 * rows * workers).reshape(workers, rows, 2)

    def gathered(worker, exchange):
        team = cluster.Team(Replicas(worker, workers, each))
        team.worker, team.workers, team._exchange = worker, workers, exchange
        return team._gather(everyone[worker])

    sent = []
    for worker in range(workers):
        gathered(worker, lambda parts: sent.extend(parts) or tf.concat(parts * workers, axis=0))
    assert [len(part) for part in sent] == [math.ceil(rows / each)] * (workers * each)
    for worker in range(workers):
        found = gathered(worker, lambda _: tf.concat(sent, axis=0))
        np.testing.assert_array_equal(found, everyone.reshape(-1, 2))


def test_replicas_of_one_worker_exchange_what_they_were_given(two_replicas):
    rows = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(cluster.Team(two_replicas)._gather(rows), rows)


def test_flags_that_differ_are_refused_with_the_worker():
    sums = [np.asarray([one]) for one in (5, 5, 7)]
    with pytest.raises(cluster.ClusterError, match="the same flags; not so worker 2"):
        Played(0, 3, sums).require_same("text", "flags")


def test_a_refusal_of_the_chief_reaches_the_others():
    with pytest.raises(cluster.ClusterError, match="the chief gave up"):
        Played(1, 2, [np.asarray([[1, 0]]), np.asarray([[0, 0]])]).from_chief(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Played(0, 2, [np.asarray([[0, 0]])]).from_chief(lambda: 1 / 0)
    assert Played(1, 2, [np.asarray([[0, 9]]), np.asarray([[0, 0]])]).from_chief(lambda: 1) == 9


def test_one_process_asks_nobody():
    team = cluster.Team(tf.distribute.get_strategy())
    assert team.is_chief
    assert team.from_chief(lambda: 3) == 3
    assert (team.any(False), team.any(True)) == (False, True)
    assert team.rows(5) == slice(0, 5)


# ---- real processes


def alone(folder, *arguments):
    """The folder of the same run by this process alone."""
    words = [*processes.TINY, "--strategy=one_device", *arguments, f"--workdir={folder}"]
    session.train(configuration.resolve(configuration.parse(["train", *words])), ["test"])
    return folder


def together(folder, *arguments):
    """The command line of the workers."""
    return (*processes.TINY, "--strategy=multi_worker", *arguments, f"--workdir={folder / 'run'}")


@pytest.mark.slow
def test_two_workers_equal_one_process_and_the_chief_alone_writes(tmp_path):
    with processes.started(tmp_path, 2, *together(tmp_path)) as workers:
        one = alone(tmp_path / "one")
        assert [worker.ends() for worker in workers] == [0, 0], workers[0].stderr
    processes.assert_same_end(one, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["machine"]["workers"] == 2
    assert "bACC" in workers[0].stdout
    assert "4/4" in workers[0].stderr
    assert workers[1].stdout == ""
    assert "step/s" not in workers[1].stderr


@pytest.mark.slow
def test_a_worker_that_is_started_again_after_the_end_waits_for_nobody(tmp_path):
    # As on a cluster where it was lost.
    with processes.started(tmp_path, 2, *together(tmp_path)) as workers:
        assert [worker.ends() for worker in workers] == [0, 0], workers[0].stderr
    ports = processes.free_ports(2)
    for index in (1, 0):
        with processes.Worker(tmp_path, index, ports, *together(tmp_path)) as again:
            assert again.ends() == 0, again.stderr
        assert ("bACC" in again.stdout) == (index == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--method=drw", "--pseudo_memory=bank", "--export=true", "--tensorboard=true"),
        ("--method=drw_darp", "--darp_start=0", "--darp_refresh=2"),
        ("--method=fixmatch_crest_plus_la", "--crest_generations=2", "--threshold=0.1"),
        ("--method=remixmatch_cdmad", "--ramp_fraction=0", "--cdmad_start=0"),
    ],
    ids=["bank", "darp", "crest", "cdmad"],
)
def test_three_workers_equal_one_process(tmp_path, arguments):
    # These methods read no --reweight_start, or are as good without.
    tiny = [one for one in processes.TINY if not one.startswith(("--method", "--reweight"))]
    words = [*tiny, *arguments]
    with processes.started(
        tmp_path, 3, *words, "--strategy=multi_worker", f"--workdir={tmp_path / 'run'}"
    ) as workers:
        one = [*words, "--strategy=one_device", f"--workdir={tmp_path / 'one'}"]
        session.train(configuration.resolve(configuration.parse(["train", *one])), ["test"])
        assert [worker.ends() for worker in workers] == [0, 0, 0], workers[0].stderr
    processes.assert_same_end(tmp_path / "one", tmp_path / "run")
    assert (tmp_path / "run" / "export").exists() == ("--export=true" in arguments)


@pytest.mark.slow
def test_batch_that_the_workers_do_not_divide_is_one_line_and_code_2(tmp_path):
    with processes.started(tmp_path, 2, *together(tmp_path, "--batch_size=13")) as workers:
        for worker in workers:
            assert worker.ends() == 2
            (line,) = [one for one in worker.stderr.splitlines() if one.startswith("train:")]
            assert "labeled batch of 13 cannot be divided by 2 replicas" in line
            assert "Traceback" not in worker.stderr


@pytest.mark.slow
def test_a_worker_that_never_comes_is_waited_for_no_longer_than_asked(tmp_path):
    ports = processes.free_ports(2)
    words = together(tmp_path, "--cluster_timeout=5")
    with processes.Worker(tmp_path, 0, ports, *words) as worker:
        assert worker.ends(120) == LOST
        assert f"not all workers came within 5 seconds: 127.0.0.1:{ports[1]}" in worker.stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "other"])
def test_a_port_of_another_process_is_waited_for_no_longer_than_asked(tmp_path, victim):
    ports = processes.free_ports(2)
    words = together(tmp_path, "--cluster_timeout=5")
    with (
        socket.create_server(("127.0.0.1", ports[victim])),
        processes.Worker(tmp_path, 0, ports, *words) as chief,
        processes.Worker(tmp_path, 1, ports, *words) as other,
    ):
        workers = (chief, other)
        assert [worker.ends(120) for worker in workers] == [LOST, LOST]
    address = f"127.0.0.1:{ports[victim]} is in use by another process"
    assert f"train: waited 5 seconds: {address}; the same commands" in workers[victim].stderr
    assert "Traceback" not in chief.stderr + other.stderr


def interrupted(folder, victim, number):
    """Exit codes after `number` was sent to the worker `victim` in the middle of a run."""
    run = folder / "run"
    with processes.started(folder, 2, *together(folder, *LONGER)) as workers:
        processes.wait_for(lambda: list((run / "checkpoints").glob("step_*")))
        workers[victim].process.send_signal(number)
        codes = [worker.ends(120) for worker in workers]
    assert not (run / "record.json").exists()
    return codes


def finished(folder):
    """The same commands again, to the end."""
    with processes.started(folder, 2, *together(folder, *LONGER)) as workers:
        assert [worker.ends() for worker in workers] == [0, 0], workers[0].stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "other"])
def test_the_others_of_a_killed_worker_stop_and_all_go_on_together(tmp_path, victim):
    codes = interrupted(tmp_path, victim, signal.SIGKILL)
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == LOST
    finished(tmp_path)
    processes.assert_same_end(alone(tmp_path / "one", *LONGER), tmp_path / "run")


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_at_the_same_step(tmp_path):
    assert interrupted(tmp_path, 1, signal.SIGTERM) == [STOPPED, STOPPED]
    finished(tmp_path)
    processes.assert_same_end(alone(tmp_path / "one", *LONGER), tmp_path / "run")


FULL = """
import tempfile

def full(*_):
    raise OSError(28, "No space left on device")

tempfile.TemporaryDirectory = full
"""


@pytest.mark.slow
def test_an_error_of_one_worker_ends_all(tmp_path, monkeypatch):
    # Meanwhile the chief waits for the sums that the other one's checkpoint would have made.
    (tmp_path / "sitecustomize.py").write_text(FULL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with processes.started(tmp_path, 2, *together(tmp_path)) as workers:
        assert workers[1].ends(180) == 2
        assert workers[0].ends(60) == LOST
    assert "[Errno 28] No space left on device" in workers[1].stderr
    assert "Traceback" not in workers[1].stderr
    assert "train: another worker is gone" in workers[0].stderr


def failing(error):
    def fail():
        raise error

    return fail


def test_a_lost_peer_is_told_with_what_tensorflow_says():
    error = tf.errors.UnavailableError(None, None, "{{node Add}} the socket\nis closed")
    with pytest.raises(cluster.PeerLost, match=r"^UnavailableError: the socket is closed$"):
        cluster.watched(failing(error))


# As TensorFlow lays them out; where a fault is seen is not what it is.
GRAPH_ERROR = """Graph execution error:

Detected at node while/stem_bn/moments/CollectiveReduceV2 defined at (most recent call last):
  File "/home/nccl/collective_all_reduce_strategy.py", line 198, in connection

<stack traces unavailable>
{}
\t [[{{{{node while/stem_bn/moments/CollectiveReduceV2}}}}]]
\t [[while/CollectiveReduceV2_1/_7]] [Op:__inference_train_function_9008]"""


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        ("NCCL: unhandled system error. Set NCCL_DEBUG=WARN for detail.", True),
        ("Collective ops is aborted by: unexecpted exception in check alive: gone", True),
        ("Additional GRPC error information from remote target /job:worker/task:1:", True),
        ("CUDA: Failed to load in-memory CUBIN: device kernel image is invalid", False),
        ("Failed to launch ptxas; No algorithm worked!", False),
    ],
)
def test_internal_error_is_of_a_peer_only_where_it_says_so(text, is_lost):
    error = tf.errors.InternalError(None, None, GRAPH_ERROR.format(text))
    with pytest.raises(cluster.PeerLost if is_lost else tf.errors.InternalError):
        cluster.watched(failing(error))
    assert Played(0, 2).is_lost(error) == is_lost
    assert not Played(0, 1).is_lost(error)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_who_leaves_leaves_whatever_happens_to_the_line_that_says_so(monkeypatch, error):
    codes = []
    monkeypatch.setattr(ending, "at_once", codes.append)
    monkeypatch.setattr(train.standard_error, "say", lambda line: failing(error)())
    with pytest.raises(type(error)):
        train._leave("another worker is gone", "the same commands go on from the checkpoint")
    assert codes == [LOST]


@pytest.mark.slow
def test_workers_whose_flags_differ_end_with_code_2(tmp_path):
    ports = processes.free_ports(2)
    with (
        processes.Worker(tmp_path, 0, ports, *together(tmp_path)) as chief,
        processes.Worker(tmp_path, 1, ports, *together(tmp_path), "--seed=1") as other,
    ):
        for worker in (chief, other):
            assert worker.ends() == 2
            assert "must have the same flags; not so worker 1" in worker.stderr


@pytest.mark.slow
def test_the_others_of_a_worker_that_freezes_stop(tmp_path):
    run = tmp_path / "run"
    with processes.started(tmp_path, 2, *together(tmp_path, *LONGER)) as workers:
        processes.wait_for(lambda: list((run / "checkpoints").glob("step_*")))
        workers[1].process.send_signal(signal.SIGSTOP)
        assert workers[0].ends(120) == LOST
        workers[1].process.send_signal(signal.SIGKILL)
        workers[1].process.send_signal(signal.SIGCONT)
        workers[1].ends()
