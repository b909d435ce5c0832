"""Batches made by a tf.data service: other machines read, decode and augment."""

import logging
import re
import socket
import time
import urllib.parse

import numpy as np
import tensorflow as tf

from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import parallelism, pipeline

_LOG = logging.getLogger("drw_tf")
_ANSWER_SECONDS = 10
# How long a dispatcher may take to come, or to be started again.
_PATIENCE_SECONDS = 60
_RETRY_SECONDS = 0.5
# What TensorFlow raises of itself once it has asked a service in vain for an hour.
_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# Of a dispatcher that was started again without a journal; a missing picture is not found, too.
_FORGOTTEN = re.compile(r"iteration( client)? id|failed to get (split|tasks)", re.IGNORECASE)


class DataServiceError(ValueError):
    """The service cannot make these batches; the message is one line for the user."""


class NoAnswer(DataServiceError):
    """The dispatcher is not there, or not yet again."""


def batches(
    address: str,
    images: records.ArrayImages | records.FileImages,
    streams: list[pipeline.Stream],
    views: augment_views.Views,
    seed: int,
    start_step: int,
    shard: pipeline.Shard,
) -> tf.data.Dataset:
    """Endless batches as of `pipeline.training_batches`, in any order of the steps.

    The service's workers take step after step, each one once; a step is made as a whole by one
    of them, as a function of (seed, step). Rows are those of `training_batches`, if sampling is
    uniform; so are views where its blocks are of one step. Which one is ready first is chance, so
    two runs differ, and several trainers are not at the same step of a pass at the same moment.
    Each step shuffles the whole stream anew, 20 to 30 ns of a core a row.
    After a restart, steps that were made and not yet used are made again or left out.

    Args:
        address: grpc://host:port of the dispatcher.
        images: the training images; files must lie at the same paths for the service.
        streams: see `pipeline.training_batches`, as the rest.
        views: how views are made.
        seed: of the run.
        start_step: steps already done, >= 0.
        shard: which part of each batch is wanted.

    Raises:
        NoAnswer: the dispatcher does not answer for a minute.
        DataServiceError: pixels lie in this process.
        ValueError: a stream without rows, or a batch that the shards do not divide.
    """
    pipeline.check_streams(streams, shard)
    if pipeline.is_read_in_place(images):
        raise DataServiceError(
            "--data_service cannot read pictures that are kept in the trainer's memory and too "
            "large to send (over 1 GiB, or a cache file); use picture files, or no service."
        )
    _require_answer(address)

    def step(number):
        return pipeline.one_step(images, streams, views, seed, number, shard)

    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    made = steps.map(step, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    # What stands before here is what the service's workers run, with its options.
    made = parallelism.untuned(made).apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC, service=address
        )
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A step is one element of the service, so that replicas never get parts of different ones.
    one_a_step = made.unbatch().with_options(options).prefetch(2 * shard.replicas)
    return parallelism.untuned(one_a_step)


def is_outage(error: tf.errors.OpError) -> bool:
    """Whether what taking a batch raised says that the service is gone, or has forgotten it."""
    forgotten = isinstance(error, tf.errors.NotFoundError) and _FORGOTTEN.search(str(error))
    return bool(forgotten) or isinstance(error, _GONE)


def _require_answer(address: str) -> None:
    """Waits for the dispatcher, for a limited time: TensorFlow would ask it for an hour."""
    place = urllib.parse.urlsplit(address)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    is_told = False
    while True:
        try:
            socket.create_connection((place.hostname, place.port), _ANSWER_SECONDS).close()
            return
        except OSError as error:
            silence = f"--data_service={address} does not answer: {error.strerror or error}"
        if time.monotonic() >= deadline:
            raise NoAnswer(f"{silence}; waited {_PATIENCE_SECONDS} seconds.")
        if not is_told:
            _LOG.warning("%s; waiting for it.", silence)
            is_told = True
        time.sleep(_RETRY_SECONDS)
