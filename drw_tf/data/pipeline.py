"""From a split to batches: the only place that shuffles, batches and prefetches.

The batch, checked nowhere else, is the contract with the methods:

    batch["labeled"]   = {"index": int64 [B], "label": int32 [B], <view>: uint8 [B, H, W, Ch]}
    batch["unlabeled"] = {"index": int64 [U], <view>: uint8 [U, H, W, Ch]},  U = mu * B

`index` counts within the labeled rows, or within the pool; no label of an unlabeled picture
is in a batch. Steps are made in blocks, whose length follows from the batches of all streams
together and the shape of a picture, and the content of step k is a pure function of (seed, k) and
that length: each pass over a stream is a stateless permutation, passes follow one another without
a gap, and augmentation (and each class-balanced draw of rows) is drawn statelessly for a block of
whole global batches before it is cut into shards. So resuming needs nothing stored, and content
does not depend on threads, workers or replicas. With blocks of another length the rows of uniform
streams are the same, but their views are not: one seed augments otherwise for another method.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drw_tf.augment import crops
from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import image_files, in_memory, orders, other_files, parallelism, seeds

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
    source = _source(images, views)
    parts = {
        stream.key: _stream_blocks(source, stream, views, seed, block, first_block, shard)
        for stream in streams
    }
    dataset = tf.data.Dataset.zip(parts).unbatch()
    dataset = dataset.skip((start_step - first_block * block) * shard.replicas)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return parallelism.untuned(dataset.with_options(options).prefetch(max(2, block)))


def check_streams(streams: list[Stream], shard: Shard) -> None:
    """Refuses a stream without rows, or a batch that the shards do not divide, by ValueError."""
    for stream in streams:
        if not len(stream.rows):
            raise ValueError(f"the {stream.key} stream has no pictures{_advice(stream)}.")
        if stream.batch % shard.parts:
            raise ValueError(
                f"the {stream.key} batch of {stream.batch} cannot be divided by "
                f"{shard.parts} replicas; choose --batch_size as a multiple of {shard.parts}."
            )


def _advice(stream: Stream) -> str:
    if stream.key == "labeled":
        return ""
    return "; give unlabeled pictures, or --pool=all, which reads the labeled ones"


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
    source = _source(images, views, pillow=False)
    parts = {
        stream.key: _stream_blocks(source, stream, views, seed, 1, number, shard)
        for stream in streams
    }
    return tf.data.Dataset.zip(parts).take(1).get_single_element()


def _block_steps(streams: list[Stream], image_shape: tuple[int, int, int]) -> int:
    values = sum(stream.batch for stream in streams) * int(np.prod(image_shape))
    return int(np.clip(_BLOCK_VALUES // values, 1, _MAX_BLOCK_STEPS))


def _source(
    images: records.ArrayImages | records.FileImages,
    views: augment_views.Views,
    pillow: bool = True,
) -> Callable[["_Part", tf.data.Dataset], tf.data.Dataset]:
    """What makes the blocks of a stream: one for all of them, as it copies all pixels or paths."""
    if isinstance(images, records.ArrayImages):
        return functools.partial(_array_blocks, fetcher(images))
    return functools.partial(_file_blocks, _decoder(images, views, pillow))


def _stream_blocks(
    source: Callable[["_Part", tf.data.Dataset], tf.data.Dataset],
    stream: Stream,
    views: augment_views.Views,
    seed: int,
    block: int,
    first_block: int | tf.Tensor,
    shard: Shard,
) -> tf.data.Dataset:
    """Elements of `block` steps: {"index": [block * replicas, batch / parts], ...}."""
    part = _Part(stream, views, seed, block, shard)
    numbers = tf.data.Dataset.range(first_block, np.iinfo(np.int64).max)
    indices = _indices(stream, seed, first_block, part.size)
    return source(part, tf.data.Dataset.zip((numbers, indices)))


class _Part:
    """This worker's part of a block of steps of one stream, and how it is made.

    Attributes:
        stream: what is read.
        views: how views are made.
        seed: of the run.
        size: rows of a block over all workers.
        rows: int64 [N], those of the stream.
    """

    def __init__(
        self, stream: Stream, views: augment_views.Views, seed: int, block: int, shard: Shard
    ):
        self.stream = stream
        self.views = views
        self.seed = seed
        self.size = block * stream.batch
        with _where_pipelines_run():
            self.rows = tf.constant(stream.rows, tf.int64)
        self._block = block
        self._shard = shard
        self._labels = None if stream.labels is None else tf.constant(stream.labels, tf.int32)

    @property
    def own_size(self) -> int:
        """Rows of a block on this worker."""
        return self.size // self._shard.workers

    def own(self, values: tf.Tensor) -> tf.Tensor:
        """This worker's rows of every step of a block; [size, ...] in, [own_size, ...] out."""
        if self._shard.workers == 1:
            return values
        batch = self.stream.batch
        each = batch // self._shard.workers
        stepwise = tf.reshape(values, [self._block, batch, *values.shape[1:]])
        own = stepwise[:, self._shard.worker * each : (self._shard.worker + 1) * each]
        return tf.reshape(own, [self._block * each, *values.shape[1:]])

    def seed_of(self, name: str, number: tf.Tensor) -> tf.Tensor:
        """int64 [2], of what is drawn by this name for block `number`."""
        start = seeds.seed_for(self.seed, f"{self.stream.name}/{name}")
        return tf.stack([start, number])

    def place_of(self, view: str) -> str:
        """The view whose crop and flip this one has, which may be itself."""
        shares = self.views.one_place and view.startswith(augment_views.STRONG)
        return self.stream.views[0] if shares else view

    def make(
        self, number: tf.Tensor, own: tf.Tensor, pixels: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Elements of the steps of a block, one a step and replica: [block * replicas, ...].

        Args:
            number: int64 scalar, of the block.
            own: int64 [own_size], `index` of this worker's rows.
            pixels: for each view uint8 [own_size, H, W, Ch].
        """
        out = {"index": own}
        if self._labels is not None:
            out["label"] = tf.gather(self._labels, own)
        flips = {}
        for view in self.stream.views:
            kind = view.split("_")[0]
            draws = self.views.draw(kind, self.seed_of(view, number), self.size)
            if self.views.flip:
                flips[view] = draws["flip"]
                draws["flip"] = flips[self.place_of(view)]
            draws = {name: self.own(value) for name, value in draws.items()}
            out[view] = self.views.apply(kind, pixels[view], draws)
        elements = [self._block * self._shard.replicas, self.stream.batch // self._shard.parts]
        return {
            name: tf.reshape(value, [*elements, *value.shape[1:]]) for name, value in out.items()
        }


def _array_blocks(
    fetch: Callable[[tf.Tensor], tf.Tensor], part: _Part, blocks: tf.data.Dataset
) -> tf.data.Dataset:
    """Blocks of pictures in memory, whose views all are of the same pixels."""

    @tf.autograph.experimental.do_not_convert
    def whole(number, index):
        own = part.own(index)
        pixels = fetch(tf.gather(part.rows, own))
        return part.make(number, own, dict.fromkeys(part.stream.views, pixels))

    return blocks.map(whole, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _file_blocks(
    decode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], part: _Part, blocks: tf.data.Dataset
) -> tf.data.Dataset:
    """Blocks of files, each decoded once for all views, and cut once for those of one place."""
    views = part.stream.views
    is_square = part.views.geometry == augment_views.CROP  # then all views are of one square
    cut_of = {view: views[0] if is_square else part.place_of(view) for view in views}
    cuts = list(dict.fromkeys(cut_of.values()))

    @tf.autograph.experimental.do_not_convert
    def places(number, index):
        """For each row the block, `index`, the row and the box of each cut, float32 [K, 4]."""
        boxes = [
            crops.draw_crop_boxes(part.seed_of(f"{cut}/place", number), part.size) for cut in cuts
        ]
        own = part.own(index)
        # What belongs to a block goes along: another iteration of `blocks` would shuffle again.
        numbers = tf.fill([part.own_size], number)
        return tf.data.Dataset.from_tensor_slices(
            (numbers, own, tf.gather(part.rows, own), part.own(tf.stack(boxes, axis=1)))
        )

    @tf.autograph.experimental.do_not_convert
    def decoded(number, own, row, boxes):
        return number, own, decode(row, boxes)

    @tf.autograph.experimental.do_not_convert
    def joined(numbers, own, pixels):
        pixels_of = dict(zip(cuts, tf.unstack(pixels, axis=1), strict=True))
        return part.make(numbers[0], own, {view: pixels_of[cut_of[view]] for view in views})

    rows = blocks.flat_map(places).map(
        decoded, num_parallel_calls=parallelism.usable_cores(), deterministic=True
    )
    return rows.batch(part.own_size, drop_remainder=True).map(
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

    Where views only shift, K is 1: all are of the central square, and the box is ignored.
    """
    paths = tf.constant(images.paths)
    height, _, channels = views.image_shape

    @tf.autograph.experimental.do_not_convert
    def decode(row, boxes):
        contents = tf.io.read_file(tf.gather(paths, row))
        if not pillow:
            contents = other_files.refuse_pillow(contents, tf.gather(paths, row))
        if views.geometry == augment_views.CROP:
            pixels = image_files.decode_resized(contents, height, pillow=pillow)[None]
        else:
            pixels = image_files.decode_crops(contents, boxes, height, pillow, fit=crops.fit_boxes)
        return pixels if channels == 3 else tf.image.rgb_to_grayscale(pixels)

    return decode


def _where_pipelines_run():
    """Context: what a pipeline reads takes no memory of a GPU, where constants would be put."""
    return tf.device("CPU:0")


def is_read_in_place(images: records.ArrayImages | records.FileImages) -> bool:
    """Whether pixels are fetched from this process's memory, and so from nowhere else."""
    pixels = getattr(images, "pixels", None)
    return pixels is not None and (isinstance(pixels, np.memmap) or pixels.nbytes > _LARGEST_COPY)


def fetcher(images: records.ArrayImages) -> Callable[[tf.Tensor], tf.Tensor]:
    """A graph function: int64 [b] rows -> uint8 [b, H, W, Ch] pixels.

    A constant is a copy, so large arrays and mapped files are read in place, row by row.
    """
    if is_read_in_place(images):
        return _reader(images.pixels)
    with _where_pipelines_run():
        copy = tf.constant(images.pixels)
    return lambda rows: tf.gather(copy, rows)


def _reader(pixels: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """What `fetcher` gives, of pixels that are read where they are."""

    def read(rows):
        found = tf.numpy_function(lambda index: pixels[index], [rows], tf.uint8)
        return tf.ensure_shape(found, [rows.shape[0], *pixels.shape[1:]])

    return read


def evaluation_batches(
    images: records.ArrayImages | records.FileImages | records.RowsOf,
    batch: int,
    image_shape: tuple[int, int, int],
) -> tf.data.Dataset:
    """Every picture once, in order: uint8 [<= batch, H, W, Ch]; of files the central square."""
    if isinstance(images, records.FileImages):
        return in_memory.squares(images.paths, image_shape, batch)
    if isinstance(images, records.RowsOf):
        rows = tf.data.Dataset.from_tensor_slices(images.rows)
        fetch = _reader(images.images.pixels)
    else:
        rows = tf.data.Dataset.range(len(images))
        fetch = fetcher(images)
    fetch = tf.autograph.experimental.do_not_convert(fetch)
    batches = rows.batch(batch).map(fetch, num_parallel_calls=tf.data.AUTOTUNE)
    return parallelism.untuned(batches.prefetch(2))
