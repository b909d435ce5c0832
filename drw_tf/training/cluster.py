"""Several processes that train together: who they are, and what they agree on.

A worker is one process; worker 0 is the chief and the only one that writes. What workers
exchange outside of the training step are single numbers and the logits of an evaluation.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import tensorflow as tf

from drw_tf.ops import replicas
from drw_tf.training import messages, rendezvous

# What a collective operation raises when a peer is gone or was stopped.
_PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)
# An internal error is a lost peer's only where it speaks of what is between workers. A fault of
# CUDA or XLA is one too, and would come back after every new start.
_BETWEEN_WORKERS = re.compile(
    "collective|nccl|grpc|socket|connection|coordination service|heartbeat|check alive"
    "|UnavailableError",
    re.IGNORECASE,
)
Value = TypeVar("Value")


class ClusterError(ValueError):
    """Workers that cannot train together; the message is one line for the user."""


class PeerLost(RuntimeError):
    """Another worker does not answer any more."""


class Team:
    """The workers of a run; of a strategy on one machine, this process alone."""

    def __init__(self, strategy: tf.distribute.Strategy):
        resolver = strategy.cluster_resolver
        self.strategy = strategy
        self.workers, self.worker = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self.workers = len(_ranked(resolver.cluster_spec()))
            self.worker = rank(resolver)
        # One graph for each shape: `strategy.gather` would trace anew at every call.
        self._exchange = tf.function(self._exchange)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.worker == 0

    def is_lost(self, error: Exception) -> bool:
        """Whether an error says that another worker is gone."""
        return self.workers > 1 and _is_of_peer(error)

    def total(self, value: int) -> int:
        """Sum over the workers of a number that each one gives."""
        if self.workers == 1:
            return value
        return int(self._gather(np.asarray([value], np.int64)).sum())

    def any(self, flag: bool) -> bool:
        """Whether it holds on one worker at least."""
        return self.total(int(flag)) > 0

    def from_chief(self, make: Callable[[], int]) -> int:
        """The number that `make` gives on the chief, where alone it is called.

        Raises:
            Exception: on the chief, what `make` raised; on the others a `ClusterError`.
        """
        if self.workers == 1:
            return make()
        if not self.is_chief:
            failed, value = self._gather(np.zeros([1, 2], np.int64))[0]
            if failed:
                raise ClusterError("the chief gave up; its message says why.")
            return int(value)
        try:
            value = make()
        except Exception:
            self._gather(np.asarray([[1, 0]], np.int64))
            raise
        self._gather(np.asarray([[0, value]], np.int64))
        return value

    def require_same(self, text: str, what: str) -> None:
        """Refuses workers that were started with different things.

        Raises:
            ClusterError: on all workers, where `text` is not the same on all.
        """
        if self.workers > 1:
            sums = self._gather(np.asarray([zlib.crc32(text.encode())], np.int64))
            if (sums != sums[0]).any():
                others = ", ".join(str(one) for one in np.flatnonzero(sums != sums[0]))
                raise ClusterError(
                    f"all workers must have the same {what}; not so worker {others}."
                )

    def rows(self, size: int) -> slice:
        """This worker's part of `size` rows."""
        return slice(*(size * one // self.workers for one in (self.worker, self.worker + 1)))

    def joined(self, part: np.ndarray, size: int) -> np.ndarray:
        """All `size` rows, on every worker, of parts that `rows` cut."""
        if self.workers == 1:
            return part
        longest = -(-size // self.workers)
        padded = np.zeros([longest, *part.shape[1:]], part.dtype)
        padded[: len(part)] = part
        everyone = self._gather(padded)
        ends = [size * one // self.workers for one in range(self.workers + 1)]
        counts = np.diff(ends)
        return np.concatenate(
            [everyone[one * longest :][:count] for one, count in enumerate(counts)]
        )

    def _exchange(self, sent):
        return self.strategy.run(replicas.all_rows, args=(sent,))

    def _gather(self, values: np.ndarray) -> np.ndarray:
        """[workers * n, ...], the [n, ...] of each worker in their order."""
        each = self.strategy.num_replicas_in_sync // self.workers
        # Every replica takes part, and receives all that is sent: each sends a part of its
        # worker's rows, padded so that all send equally many.
        size = -(-len(values) // each)
        padded = np.zeros([each * size, *values.shape[1:]], values.dtype)
        padded[: len(values)] = values
        parts = padded.reshape([each, size, *values.shape[1:]])
        sent = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group % each])
        )
        found = self.strategy.experimental_local_results(self._exchange(sent))[0].numpy()
        by_worker = found.reshape([self.workers, each * size, *values.shape[1:]])
        return by_worker[:, : len(values)].reshape([-1, *values.shape[1:]])


def rank(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> int:
    """Number of this process among the workers; 0 is the chief."""
    return _ranked(resolver.cluster_spec()).index((resolver.task_type, resolver.task_id))


def join(resolver: tf.distribute.cluster_resolver.ClusterResolver, timeout_seconds: int):
    """A MultiWorkerMirroredStrategy over all workers; waits until they are there.

    Nothing may have run on TensorFlow before.

    Args:
        resolver: who the workers are, and which of them this process is.
        timeout_seconds: how long to wait.

    Raises:
        rendezvous.NotAllCame: in this time.
        PeerLost: one left at once.
    """

    workers = _ranked(resolver.cluster_spec())
    addresses = [resolver.cluster_spec().task_address(*one) for one in workers]
    rendezvous.meet(addresses, rank(resolver), timeout_seconds)

    def connect():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        Team(strategy).total(0)
        return strategy

    return watched(connect)


def watched(function: Callable[[], Value]) -> Value:
    """What `function` returns.

    Raises:
        PeerLost: in place of TensorFlow's errors that mean that.
    """
    try:
        return function()
    except _PEER_ERRORS as error:
        if not _is_of_peer(error):
            raise
        # With what it says: not every one of these kinds has a lost worker as its cause.
        raise PeerLost(f"{type(error).__name__}: {messages.one_line(error)}") from error


def _is_of_peer(error: Exception) -> bool:
    if isinstance(error, tf.errors.InternalError):
        return bool(_BETWEEN_WORKERS.search(messages.without_places(error)))
    return isinstance(error, _PEER_ERRORS)


def resolver(
    environment: Mapping[str, str], hosts: list[str] | None, port: int
) -> tf.distribute.cluster_resolver.ClusterResolver:
    """Who the workers are, by the first of these that is there.

        TF_CONFIG                    TensorFlow's own description, JSON
        JOB_COMPLETION_INDEX         Kubernetes' number of a pod in an Indexed Job; with `hosts`
        SLURM_PROCID, SLURM_STEP_*   of a task that `srun` started

    Args:
        environment: of the process.
        hosts: host:port of every worker, in the order of their numbers.
        port: first port on each host, read with Slurm.

    Raises:
        ClusterError: none is there, one is there in part, or `hosts` are given and not read.
    """
    known = tf.distribute.cluster_resolver
    try:
        if "TF_CONFIG" in environment:
            _refuse_hosts(hosts, "TF_CONFIG")
            found = known.TFConfigClusterResolver()
            _ranked(found.cluster_spec()).index((found.task_type, found.task_id))
            return found
        gpus = len(tf.config.list_physical_devices("GPU"))
        if "JOB_COMPLETION_INDEX" in environment and hosts:
            spec = tf.train.ClusterSpec({"worker": hosts})
            index = int(environment["JOB_COMPLETION_INDEX"])
        elif "SLURM_PROCID" in environment:
            _refuse_hosts(hosts, "Slurm")
            spec, index = _slurm(environment, port)
        else:
            raise ClusterError(
                "--strategy=multi_worker needs TF_CONFIG, or a Slurm task started by srun, or "
                "Kubernetes' JOB_COMPLETION_INDEX with --cluster_hosts; found none."
            )
        spec.task_address("worker", index)
    except ClusterError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ClusterError(
            f"the cluster's description is not usable: {messages.one_line(error)}."
        ) from None
    return known.SimpleClusterResolver(
        spec, task_type="worker", task_id=index, num_accelerators={"GPU": gpus}, rpc_layer="grpc"
    )


def _refuse_hosts(hosts: list[str] | None, source: str) -> None:
    if hosts:
        raise ClusterError(
            "--cluster_hosts is read with Kubernetes' JOB_COMPLETION_INDEX only and must be left "
            f"out here: {source} says who the workers are."
        )


def _slurm(environment, port: int) -> tuple[tf.train.ClusterSpec, int]:
    """Addresses and own number; GPUs are those that Slurm made visible."""
    # The resolver divides a node's GPUs among its tasks, which srun has done before, and
    # fails where there are none: one each, which it only counts, keeps it from both.
    found = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=1 << 10, gpus_per_task=1, auto_set_gpu=False
    )
    spec = found.cluster_spec()
    index = int(environment["SLURM_PROCID"])
    host = spec.task_address("worker", index).rpartition(":")[0]
    own = environment.get("SLURMD_NODENAME", host)
    if own != host:
        # It sorts hosts by name, and srun numbers tasks in the order of the node list.
        raise ClusterError(
            f"Slurm's task {index} runs on {own}, but sorted by name its node is {host}; "
            "start it with TF_CONFIG, or on nodes whose numbers have equally many digits."
        )
    return spec, index


def _ranked(spec: tf.train.ClusterSpec) -> list[tuple[str, int]]:
    """(job, task) of all that train, the chief first."""
    return [
        (job, task)
        for job in ("chief", "worker")
        if job in spec.jobs
        for task in range(spec.num_tasks(job))
    ]
