"""The streams: exact passes, pure in (seed, step), independent of sharding and restarts."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import presets
from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import orders, pipeline

SIZE = 37


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, [SIZE, 8, 8, 1], dtype=np.uint8)
    return records.ArrayImages(pixels, np.arange(SIZE) % 3)


@pytest.fixture(scope="module")
def views():
    return augment_views.Views((8, 8, 1), False, 1, presets.preset("digits"))


def streams(labeled=4, unlabeled=8):
    rows = np.arange(5, 15)
    return [
        pipeline.Stream("labeled", rows, labeled, ("weak",), rows % 3),
        pipeline.Stream("unlabeled", np.arange(SIZE), unlabeled, ("weak", "strong")),
    ]


def test_what_a_pipeline_reads_lies_where_it_runs(images):
    # A constant lies where the surrounding code is, which is a GPU where there is one.
    with tf.device("CPU:1"):
        fetch = pipeline.fetcher(images)
        assert tf.constant(0).device.endswith("CPU:1")
    assert inspect.getclosurevars(fetch).nonlocals["copy"].device.endswith("CPU:0")


def take(dataset, steps):
    return list(dataset.take(steps).as_numpy_iterator())


def assert_equal(one, other):
    tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_batch_has_the_promised_names_shapes_and_types(images, views):
    (batch,) = take(pipeline.training_batches(images, streams(), views, seed=0), 1)
    shapes = tf.nest.map_structure(lambda value: (value.dtype.name, value.shape), batch)
    assert shapes == {
        "labeled": {
            "index": ("int64", (4,)),
            "label": ("int32", (4,)),
            "weak": ("uint8", (4, 8, 8, 1)),
        },
        "unlabeled": {
            "index": ("int64", (8,)),
            "weak": ("uint8", (8, 8, 8, 1)),
            "strong": ("uint8", (8, 8, 8, 1)),
        },
    }


def test_index_label_and_every_view_are_of_the_same_row(images):
    policy = dataclasses.replace(presets.preset("digits"), probability=0.0, cutout_fraction=0.0)
    # Neither flipped nor shifted, and no operation: every view is the picture.
    still = augment_views.Views((8, 8, 1), False, 0, policy)
    for batch in take(pipeline.training_batches(images, streams(), still, seed=0), 20):
        rows = np.arange(5, 15)[batch["labeled"]["index"]]
        np.testing.assert_array_equal(batch["labeled"]["label"], images.labels[rows])
        np.testing.assert_array_equal(batch["labeled"]["weak"], images.pixels[rows])
        pictures = images.pixels[batch["unlabeled"]["index"]]
        np.testing.assert_array_equal(batch["unlabeled"]["weak"], pictures)
        np.testing.assert_array_equal(batch["unlabeled"]["strong"], pictures)


def test_every_pass_holds_every_row_once_and_orders_differ(images, views):
    batches = take(pipeline.training_batches(images, streams(), views, seed=0), SIZE)
    index = np.concatenate([batch["unlabeled"]["index"] for batch in batches])
    passes = index.reshape(8, SIZE)
    np.testing.assert_array_equal(np.sort(passes, axis=1), np.tile(np.arange(SIZE), (8, 1)))
    assert len({tuple(one) for one in passes}) == 8


def test_a_batch_larger_than_the_set_goes_on_into_the_next_pass(images, views):
    batches = take(pipeline.training_batches(images, streams(labeled=25), views, seed=0), 2)
    counts = np.bincount(np.concatenate([batch["labeled"]["index"] for batch in batches]))
    np.testing.assert_array_equal(counts, np.full(10, 5))


@pytest.mark.parametrize("start", [1, 7, 16, 23])
def test_restart_at_a_step_gives_what_would_have_come(images, views, start):
    whole = take(pipeline.training_batches(images, streams(), views, seed=3), 40)
    rest = take(pipeline.training_batches(images, streams(), views, seed=3, start_step=start), 5)
    assert_equal(rest, whole[start : start + 5])


ALL_VIEWS = ("weak", "weak_2", "strong", "strong_2")


def test_seeds_differ_and_views_of_one_row_differ(images, views):
    def first(seed, *names):
        read = [pipeline.Stream("unlabeled", np.arange(SIZE), 8, names)]
        (batch,) = take(pipeline.training_batches(images, read, views, seed), 1)
        return batch["unlabeled"]

    made = first(0, *ALL_VIEWS)
    assert (made["index"] != first(1, "weak")["index"]).any()
    for one, other in itertools.combinations(ALL_VIEWS, 2):
        assert (made[one] != made[other]).any(), (one, other)


def test_views_of_one_file_are_of_different_places(tmp_path):
    # Not mirrored, so that two weak views can only differ by their places.
    noise = np.random.default_rng(0).integers(0, 256, [24, 24, 3], np.uint8)
    path = str(tmp_path / "noise.png")
    tf.io.write_file(path, tf.io.encode_png(noise))
    crops = augment_views.Views((8, 8, 3), False, 0, presets.preset("usb"), geometry="resized_crop")
    read = [pipeline.Stream("unlabeled", np.arange(1), 1, ("weak", "weak_2"))]
    file = records.FileImages(np.array([path]), np.arange(1))
    (batch,) = take(pipeline.training_batches(file, read, crops, seed=0), 1)
    assert (batch["unlabeled"]["weak"] != batch["unlabeled"]["weak_2"]).any()


def test_strong_views_have_the_weak_ones_crop_and_flip_where_that_is_asked(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, [24, 24, 3], np.uint8)
    path = str(tmp_path / "noise.png")
    tf.io.write_file(path, tf.io.encode_png(noise))
    file = records.FileImages(np.repeat([path], 8), np.zeros(8, np.int64))
    # No operation and no Cutout: a strong view shows where it was cut.
    bare = dataclasses.replace(presets.preset("usb"), probability=0.0, cutout_fraction=0.0)
    read = [pipeline.Stream("unlabeled", np.arange(8), 8, ("weak", "weak_2", "strong"))]
    cut = augment_views.Views((8, 8, 3), True, 0, bare, geometry="resized_crop", one_place=True)
    (batch,) = take(pipeline.training_batches(file, read, cut, seed=0), 1)
    made = batch["unlabeled"]
    np.testing.assert_array_equal(made["strong"], made["weak"])
    # Weak ones are averaged by some methods: each has its own.
    assert (made["weak_2"] != made["weak"]).any()


def test_shards_together_are_the_global_batch(images, views):
    whole = take(pipeline.training_batches(images, streams(), views, seed=0), 20)
    per_shard = [
        take(
            pipeline.training_batches(
                images, streams(), views, seed=0, shard=pipeline.Shard(worker, 2, 2)
            ),
            40,
        )
        for worker in range(2)
    ]
    for step, expected in enumerate(whole):
        parts = [per_shard[worker][2 * step + replica] for worker in (0, 1) for replica in (0, 1)]
        joined = tf.nest.map_structure(lambda *values: np.concatenate(values), *parts)
        assert_equal(joined, expected)


def test_two_workers_read_every_row_once_a_pass(images, views):
    # 37 rows in batches of 8: a pass ends inside a batch, and 37 steps are 8 passes.
    index = [
        [
            batch["unlabeled"]["index"]
            for batch in take(
                pipeline.training_batches(
                    images, streams(), views, seed=0, shard=pipeline.Shard(worker, 2)
                ),
                SIZE,
            )
        ]
        for worker in range(2)
    ]
    in_order = np.concatenate([part for step in zip(*index, strict=True) for part in step])
    passes = np.sort(in_order.reshape(8, SIZE), axis=1)
    np.testing.assert_array_equal(passes, np.tile(np.arange(SIZE), (8, 1)))


def test_orders_are_uniform():
    # Each of 5 rows stands at each place of a pass equally often: chi-square per cell near 1.
    passes = 2000
    order = orders.permuted_indices(5, 12345, 0).batch(5).take(passes)
    table = np.zeros([5, 5])
    for one in order.as_numpy_iterator():
        table[np.arange(5), one] += 1
    expected = passes / 5
    assert ((table - expected) ** 2 / expected).sum() / 16 < 3


def test_batch_that_replicas_do_not_divide_is_refused(images, views):
    with pytest.raises(ValueError, match="labeled batch of 5 cannot be divided by 2 replicas"):
        pipeline.training_batches(
            images, streams(labeled=5), views, seed=0, shard=pipeline.Shard(0, 1, 2)
        )


def test_stream_without_pictures_is_refused(images, views):
    empty = [pipeline.Stream("unlabeled", np.arange(0), 8, ("weak",))]
    with pytest.raises(ValueError, match="the unlabeled stream has no pictures"):
        pipeline.training_batches(images, empty, views, seed=0)


def test_evaluation_reads_every_row_once_in_order(images):
    got = np.concatenate(
        list(pipeline.evaluation_batches(images, 10, (8, 8, 1)).as_numpy_iterator())
    )
    np.testing.assert_array_equal(got, images.pixels)


def test_class_balanced_draws_each_class_equally_and_each_row_of_a_class_equally():
    labels = np.array([0] * 8 + [2] * 2)
    draws = np.concatenate(
        list(orders.class_balanced_indices(labels, 7, 0, 100).take(100).as_numpy_iterator())
    )
    counts = np.bincount(draws, minlength=10)
    # 10,000 draws: 5,000 a class, sd 50; 625 and 2,500 a row.
    assert abs(counts[:8].sum() - 5000) < 200
    assert (abs(counts[:8] - 625) < 125).all()
    assert (abs(counts[8:] - 2500) < 200).all()


@pytest.mark.parametrize(("sampling", "share"), [("class_balanced", 0.5), ("uniform", 0.1)])
def test_a_stream_is_drawn_as_it_asks(images, views, sampling, share):
    # Nine rows of class 0 for each one of class 2.
    labels = np.where(np.arange(20) % 10 == 3, 2, 0)
    stream = pipeline.Stream("labeled", np.arange(20), 40, ("weak",), labels, sampling)
    batches = take(pipeline.training_batches(images, [stream], views, seed=0), 50)
    drawn = np.concatenate([batch["labeled"]["label"] for batch in batches])
    # 2,000 rows: with replacement half of them, sd 1.1 per cent; in passes exactly a tenth.
    assert (drawn == 2).mean() == pytest.approx(share, abs=0.05 if share == 0.5 else 0)


def test_class_balanced_stream_restarts_in_the_middle(images, views):
    stream = pipeline.Stream(
        "labeled", np.arange(10), 4, ("weak",), np.arange(10) % 3, "class_balanced"
    )
    whole = take(pipeline.training_batches(images, [stream], views, seed=3), 30)
    rest = take(pipeline.training_batches(images, [stream], views, seed=3, start_step=19), 5)
    assert_equal(rest, whole[19:24])


@pytest.fixture(scope="module")
def files(tmp_path_factory, images):
    """The first nine pictures as colour files of 24 x 16, each of one colour of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for row in range(9):
        pixels = np.full([16, 24, 3], 20 * row + 10, np.uint8)
        path = folder / f"{row}.png"
        tf.io.write_file(str(path), tf.io.encode_png(pixels))
        paths.append(str(path))
    return records.FileImages(np.array(paths), np.arange(9) % 3)


@pytest.mark.parametrize("geometry", [pytest.param("crop", marks=pytest.mark.slow), "resized_crop"])
def test_files_give_the_same_contract_and_the_right_rows(files, geometry):
    views = augment_views.Views((8, 8, 3), True, 1, presets.preset("usb"), geometry=geometry)
    made = [
        pipeline.Stream("labeled", np.arange(6), 4, ("weak",), np.arange(6) % 3),
        pipeline.Stream("unlabeled", np.arange(9), 8, ("weak", "strong")),
    ]
    whole = take(pipeline.training_batches(files, made, views, seed=0), 6)
    for batch in whole:
        for key in ("labeled", "unlabeled"):
            colour = 20 * batch[key]["index"] + 10
            np.testing.assert_array_equal(batch[key]["weak"][:, 3, 3, 0], colour)
        assert batch["unlabeled"]["strong"].shape == (8, 8, 8, 3)
    rest = take(pipeline.training_batches(files, made, views, seed=0, start_step=4), 2)
    assert_equal(rest, whole[4:])


@pytest.mark.parametrize(("kind", "name"), [("images", "fetcher"), ("files", "_decoder")])
def test_all_streams_read_one_copy_of_pixels_or_paths(request, monkeypatch, kind, name):
    original, calls = getattr(pipeline, name), []

    def counted(*arguments):
        calls.append(name)
        return original(*arguments)

    monkeypatch.setattr(pipeline, name, counted)
    shape = (8, 8, 1 if kind == "images" else 3)
    views = augment_views.Views(shape, False, 1, presets.preset("digits"))
    rows = np.arange(9)
    read = [
        pipeline.Stream("labeled", rows, 4, ("weak",), rows % 3),
        pipeline.Stream("unlabeled", rows, 4, ("weak",)),
    ]
    images = request.getfixturevalue(kind)
    pipeline.training_batches(images, read, views, seed=0)
    assert len(calls) == 1
    pipeline.one_step(images, read, views, 0, tf.constant(0, tf.int64), pipeline.Shard())
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("geometry", "one_place", "cuts"),
    [
        ("crop", False, 1),
        ("resized_crop", False, 4),
        # Each weak view has a place of its own, and strong ones have the first one's.
        ("resized_crop", True, 2),
    ],
)
def test_views_of_one_place_are_cut_once(files, monkeypatch, geometry, one_place, cuts):
    original, found = pipeline._decoder, []

    def watched(*arguments):
        decode = original(*arguments)

        def cut(row, boxes):
            pixels = decode(row, boxes)
            found.append((boxes.shape[0], pixels.shape[0]))
            return pixels

        return cut

    monkeypatch.setattr(pipeline, "_decoder", watched)
    views = augment_views.Views(
        (8, 8, 3), False, 0, presets.preset("usb"), geometry=geometry, one_place=one_place
    )
    read = [pipeline.Stream("unlabeled", np.arange(9), 4, ALL_VIEWS)]
    pipeline.training_batches(files, read, views, seed=0)
    assert set(found) == {(cuts, cuts)}


def test_the_order_of_a_stream_of_files_is_made_once(files, monkeypatch):
    original, drawn = orders.permuted_indices, []

    def watched(*arguments):
        def note(index):
            drawn.append(int(index))
            return index

        def noted(index):
            return tf.ensure_shape(tf.numpy_function(note, [index], tf.int64), [])

        return original(*arguments).map(noted)

    monkeypatch.setattr(orders, "permuted_indices", watched)
    views = augment_views.Views((8, 8, 3), False, 1, presets.preset("usb"))
    read = [pipeline.Stream("unlabeled", np.arange(9), 8, ("weak",))]
    batches = take(pipeline.training_batches(files, read, views, seed=0), 40)
    taken = np.concatenate([batch["unlabeled"]["index"] for batch in batches])
    # Blocks that nobody took are drawn, too.
    np.testing.assert_array_equal(drawn[: len(taken)], taken)


def test_files_are_evaluated_in_order(files):
    batches = pipeline.evaluation_batches(files, 4, (8, 8, 1)).as_numpy_iterator()
    got = np.concatenate(list(batches))
    assert got.shape == (9, 8, 8, 1)
    np.testing.assert_allclose(got[:, 4, 4, 0], 20 * np.arange(9) + 10, atol=1)


def test_a_mapped_file_gives_the_same_batches_as_memory(images, views, tmp_path):
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=images.pixels.shape)
    mapped[:] = images.pixels
    other = records.ArrayImages(mapped, images.labels)
    whole = take(pipeline.training_batches(images, streams(), views, seed=0), 2)
    assert_equal(take(pipeline.training_batches(other, streams(), views, seed=0), 2), whole)
