"""From a split to batches: the only place that shuffles, batches and prefetches.

The batch, checked nowhere else, is the contract with the methods:

    batch["labeled"]   = {"index": int64 [B], "label": int32 [B], <view>: uint8 [B, H, W, Ch]}
    batch["unlabeled"] = {"index": int64 [U], <view>: uint8 [U, H, W, Ch]},  U = mu * B

`index` counts within the labeled rows, or within the pool; no label of an unlabeled picture
is in a batch. The content of step k is a pure function of (seed, k): each pass over a stream
is a stateless permutation, passes follow one another without a gap, and augmentation is
drawn statelessly for the whole global batch before it is cut into shards. So resuming needs
nothing stored, and content does not depend on threads, workers or replicas.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drw_tf.augment import crops
from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import image_files, in_memory, orders, other_files, seeds

# Steps are augmented in blocks of about this many values, so that small pictures do not
# pay the overhead of a call for each step.
_BLOCK_VALUES = 1 << 20
_MAX_BLOCK_STEPS = 16
# Bytes of pixels that are copied into the graph.
_LARGEST_COPY = 1 << 30


@dataclasses.dataclass(frozen=True)
class Stream:
    """One of the two streams.

    Attributes:
        name: begins with "labeled" or "unlabeled"; its random numbers depend on it.
        rows: int64 [N], rows of the training images, in the order of `index`.
        batch: rows a step over all workers and replicas.
        views: names of the views made of each row.
        labels: int64 [N], labels of `rows`, or None for a stream without labels.
        sampling: "uniform" (every row once a pass), or "class_balanced" (with replacement,
            each class equally often).
    """

    name: str
    rows: np.ndarray
    batch: int
    views: tuple[str, ...]
    labels: np.ndarray | None = None
    sampling: str = "uniform"

    @property
    def key(self) -> str:
        """Its place in the batch."""
        return "unlabeled" if self.name.startswith("unlabeled") else "labeled"


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of every global batch is made here.

    Attributes:
        worker: index of this worker.
        workers: number of workers.
        replicas: replicas fed by this worker; each gets an element of its own.
    """

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    @property
    def parts(self) -> int:
        """Parts that a global batch is cut into."""
        return self.workers * self.replicas


def training_batches(
    images: records.ArrayImages | records.FileImages,
    streams: list[Stream],
    views: augment_views.Views,
    seed: int,
    start_step: int = 0,
    shard: Shard = Shard(),
) -> tf.data.Dataset:
    """Endless batches from step `start_step` on; one element a step and replica.

    Args:
        images: the training images.
        streams: the labeled stream, and the unlabeled one where the method reads it.
        views: how views are made.
        seed: of the run.
        start_step: steps already done, >= 0.
        shard: which part of each batch is wanted.

    Raises:
        ValueError: a stream without rows, or a batch that the shards do not divide.
    """
    check_streams(streams, shard)
    block = _block_steps(streams, views.image_shape)
    first_block = start_step // block
    parts = {
        stream.key: _stream_blocks(images, stream, views, seed, block, first_block, shard)
        for stream in streams
    }
    dataset = tf.data.Dataset.zip(parts).unbatch()
    dataset = dataset.skip((start_step - first_block * block) * shard.replicas)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(max(2, block))


def check_streams(streams: list[Stream], shard: Shard) -> None:
    """Refuses a stream without rows, or a batch that the shards do not divide, by ValueError."""
    for stream in streams:
        if not len(stream.rows):
            raise ValueError(f"the {stream.key} stream has no pictures.")
        if stream.batch % shard.parts:
            raise ValueError(
                f"the {stream.key} batch of {stream.batch} cannot be divided by "
                f"{shard.parts} replicas; choose --batch_size as a multiple of {shard.parts}."
            )


def one_step(
    images: records.ArrayImages | records.FileImages,
    streams: list[Stream],
    views: augment_views.Views,
    seed: int,
    number: tf.Tensor,
    shard: Shard,
) -> dict[str, dict[str, tf.Tensor]]:
    """The elements of step `number`, int64 scalar, stacked: [replicas, rows, ...]; in a graph.

    Files that only Pillow reads are an error: the graph may run in another process.
    """
    parts = {
        stream.key: _stream_blocks(images, stream, views, seed, 1, number, shard, pillow=False)
        for stream in streams
    }
    return tf.data.Dataset.zip(parts).take(1).get_single_element()


def _block_steps(streams: list[Stream], image_shape: tuple[int, int, int]) -> int:
    values = sum(stream.batch for stream in streams) * int(np.prod(image_shape))
    return int(np.clip(_BLOCK_VALUES // values, 1, _MAX_BLOCK_STEPS))


def _stream_blocks(
    images, stream, views, seed, block, first_block, shard, pillow=True
) -> tf.data.Dataset:
    """Elements of `block` steps: {"index": [block * replicas, batch / parts], ...}."""
    size = block * stream.batch
    indices = _indices(stream, seed, first_block, size)
    numbers = tf.data.Dataset.range(first_block, np.iinfo(np.int64).max)
    blocks = tf.data.Dataset.zip((numbers, indices))
    rows = tf.constant(stream.rows, tf.int64)
    labels = None if stream.labels is None else tf.constant(stream.labels, tf.int32)
    view_seeds = {view: seeds.seed_for(seed, f"{stream.name}/{view}") for view in stream.views}

    def draw(view, number):
        kind = view.split("_")[0]
        draws = views.draw(kind, tf.stack([view_seeds[view], number]), size)
        return {name: _mine(value, block, stream.batch, shard) for name, value in draws.items()}

    def make(number, index, pixels):
        mine = _mine(index, block, stream.batch, shard)
        out = {"index": mine}
        if labels is not None:
            out["label"] = tf.gather(labels, mine)
        for view in stream.views:
            out[view] = views.apply(view.split("_")[0], pixels[view], draw(view, number))
        each = stream.batch // shard.parts
        return {
            name: tf.reshape(value, [block * shard.replicas, each, *value.shape[1:]])
            for name, value in out.items()
        }

    if isinstance(images, records.ArrayImages):
        fetch = fetcher(images)

        @tf.autograph.experimental.do_not_convert
        def whole(number, index):
            pixels = fetch(tf.gather(rows, _mine(index, block, stream.batch, shard)))
            return make(number, index, dict.fromkeys(stream.views, pixels))

        return blocks.map(whole, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @tf.autograph.experimental.do_not_convert
    def places(number, index):
        """Rows, and for each of them the box of each view, float32 [K, 4]."""
        boxes = []
        for view in stream.views:
            place_seed = seeds.seed_for(seed, f"{stream.name}/{view}/place")
            boxes.append(crops.draw_crop_boxes(tf.stack([place_seed, number]), size))
        mine = _mine(index, block, stream.batch, shard)
        boxes = _mine(tf.stack(boxes, axis=1), block, stream.batch, shard)
        return tf.data.Dataset.from_tensor_slices((tf.gather(rows, mine), boxes))

    count = size // shard.workers
    decoded = blocks.flat_map(places).map(
        _decoder(images, views, pillow), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    decoded = decoded.batch(count, drop_remainder=True)

    @tf.autograph.experimental.do_not_convert
    def joined(block_of, pixels):
        views_of = {view: pixels[:, place] for place, view in enumerate(stream.views)}
        return make(*block_of, views_of)

    return tf.data.Dataset.zip((blocks, decoded)).map(
        joined, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _indices(stream: Stream, seed: int, first_block: int, size: int) -> tf.data.Dataset:
    """Elements of int64 [size], the stream's rows from block `first_block` on."""
    order = seeds.seed_for(seed, f"{stream.name}/order")
    if stream.sampling == "class_balanced":
        return orders.class_balanced_indices(stream.labels, order, first_block, size)
    indices = orders.permuted_indices(len(stream.rows), order, first_block * size)
    return indices.batch(size, drop_remainder=True)


def _decoder(images: records.FileImages, views: augment_views.Views, pillow: bool):
    """A graph function: row and float32 [K, 4] boxes -> uint8 [K, H, W, Ch].

    Where views only shift, all of them are of the same central square and boxes are ignored.
    """
    paths = tf.constant(images.paths)
    height, _, channels = views.image_shape

    @tf.autograph.experimental.do_not_convert
    def decode(row, boxes):
        contents = tf.io.read_file(tf.gather(paths, row))
        if not pillow:
            contents = other_files.refuse_pillow(contents, tf.gather(paths, row))
        if views.geometry == augment_views.CROP:
            pixels = image_files.decode_resized(contents, height, pillow=pillow)
            pixels = tf.repeat(pixels[None], boxes.shape[0], axis=0)
        else:
            pixels = image_files.decode_crops(contents, boxes, height, pillow, fit=crops.fit_boxes)
        return pixels if channels == 3 else tf.image.rgb_to_grayscale(pixels)

    return decode


def _mine(values: tf.Tensor, block: int, batch: int, shard: Shard) -> tf.Tensor:
    """This worker's rows of every step of a block; [block * batch, ...] in."""
    if shard.workers == 1:
        return values
    each = batch // shard.workers
    stepwise = tf.reshape(values, [block, batch, *values.shape[1:]])
    mine = stepwise[:, shard.worker * each : (shard.worker + 1) * each]
    return tf.reshape(mine, [block * each, *values.shape[1:]])


def is_read_in_place(images: records.ArrayImages | records.FileImages) -> bool:
    """Whether pixels are fetched from this process's memory, and so from nowhere else."""
    pixels = getattr(images, "pixels", None)
    return pixels is not None and (isinstance(pixels, np.memmap) or pixels.nbytes > _LARGEST_COPY)


def fetcher(images: records.ArrayImages) -> Callable[[tf.Tensor], tf.Tensor]:
    """A graph function: int64 [b] rows -> uint8 [b, H, W, Ch] pixels.

    A constant is a copy, so large arrays and mapped files are read in place, row by row.
    """
    pixels = images.pixels
    if is_read_in_place(images):

        def read(rows):
            found = tf.numpy_function(lambda index: pixels[index], [rows], tf.uint8)
            return tf.ensure_shape(found, [rows.shape[0], *pixels.shape[1:]])

        return read
    copy = tf.constant(pixels)
    return lambda rows: tf.gather(copy, rows)


def evaluation_batches(
    images: records.ArrayImages | records.FileImages,
    batch: int,
    image_shape: tuple[int, int, int],
) -> tf.data.Dataset:
    """Every picture once, in order: uint8 [<= batch, H, W, Ch]; of files the central square."""
    if isinstance(images, records.ArrayImages):
        fetch = tf.autograph.experimental.do_not_convert(fetcher(images))
        rows = tf.data.Dataset.range(len(images)).batch(batch)
        return rows.map(fetch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    return in_memory.squares(images.paths, image_shape, batch)
