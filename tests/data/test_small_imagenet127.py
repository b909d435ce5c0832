import os
import pickle
import threading
import time
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from drw_tf.data import (
    cache_folder,
    imagenet127,
    pixel_cache,
    small_imagenet127,
    small_imagenet_files,
)

ROWS = 3


def batch(seed, size=32, rows=ROWS):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (rows, 3 * size * size), dtype=np.uint8)
    return {"data": data, "labels": [int(label) for label in rng.integers(1, 1001, rows)]}


def write(folder, size=32, as_npz=False, change=lambda name, value: value):
    """The eleven files; returns what they hold by name."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {}
    for seed, name in enumerate([*(f"train_data_batch_{n}" for n in range(1, 11)), "val_data"]):
        held[name] = batch(seed, size)
        value = change(name, dict(held[name]))
        if as_npz:
            np.savez(folder / f"{name}.npz", **value)
        else:
            (folder / name).write_bytes(pickle.dumps(value, 2))
    return held


def expected(held, names, size):
    """Pixels by an independent rule: red plane, green plane, blue plane, row by row."""
    pixels = []
    for name in names:
        for row in held[name]["data"]:
            planes = [row[c * size * size : (c + 1) * size * size] for c in range(3)]
            pixels.append(np.stack([plane.reshape(size, size) for plane in planes], axis=-1))
    return np.stack(pixels)


TRAIN = [f"train_data_batch_{number}" for number in range(1, 11)]


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("as_npz", [False, True])
def test_original_files_become_pictures_in_their_order(tmp_path, size, as_npz):
    held = write(tmp_path, size, as_npz)
    dataset = small_imagenet127.load(str(tmp_path), size)
    np.testing.assert_array_equal(dataset.train.pixels, expected(held, TRAIN, size))
    np.testing.assert_array_equal(dataset.test.pixels, expected(held, ["val_data"], size))
    assert dataset.name == f"small_imagenet127_{size}"
    assert dataset.image_shape == (size, size, 3)
    # Label k of the files is the k-th wnid of their own list.
    wnids = [row["wnid"] for row in imagenet127.table("downsampled_imagenet_labels.csv")]
    labels = [label for name in TRAIN for label in held[name]["labels"]]
    classes = [imagenet127.superclasses()[wnids[label - 1]] for label in labels]
    np.testing.assert_array_equal(dataset.train.labels, classes)


def test_label_order_of_the_files_is_not_that_of_the_wnids():
    rows = imagenet127.table("downsampled_imagenet_labels.csv")
    wnids = [row["wnid"] for row in rows]
    assert [int(row["label"]) for row in rows] == list(range(1, 1001))
    assert sorted(wnids) == list(imagenet127.superclasses())
    assert wnids != sorted(wnids)
    # map_clsloc.txt of the downsampled set begins: n02119789 1 kit_fox.
    assert wnids[0] == "n02119789"


def test_label_order_equals_the_list_in_tensorflow_datasets():
    listed = tfds.core.tfds_path("image_classification/imagenet_resized_labels.txt")
    rows = imagenet127.table("downsampled_imagenet_labels.csv")
    assert [row["wnid"] for row in rows] == listed.read_text().split()


def test_files_in_their_two_folders(tmp_path):
    write(tmp_path / "Imagenet32_train")
    (tmp_path / "Imagenet32_val").mkdir()
    os.rename(tmp_path / "Imagenet32_train/val_data", tmp_path / "Imagenet32_val/val_data")
    assert len(small_imagenet127.load(str(tmp_path), 32).train) == 10 * ROWS


def test_cache_folder_gives_the_same_rows_from_a_file_once(tmp_path):
    write(tmp_path / "data")
    held = small_imagenet127.load(str(tmp_path / "data"), 32)
    for _ in range(2):
        mapped = small_imagenet127.load(
            str(tmp_path / "data"), 32, cache_dir=str(tmp_path / "cache")
        )
        assert isinstance(mapped.train.pixels, np.memmap)
        np.testing.assert_array_equal(mapped.train.pixels, held.train.pixels)
        np.testing.assert_array_equal(mapped.train.labels, held.train.labels)
        np.testing.assert_array_equal(mapped.test.pixels, held.test.pixels)
        stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert len(list((tmp_path / "data").iterdir())) == 11


def test_unfinished_cache_is_written_again(tmp_path):
    write(tmp_path / "data")
    cache = tmp_path / "cache"
    small_imagenet127.load(str(tmp_path / "data"), 32, cache_dir=str(cache))
    (cache / "small_imagenet127_32_train.json").unlink()
    (cache / "small_imagenet127_32_train.uint8").write_bytes(b"half")
    dataset = small_imagenet127.load(str(tmp_path / "data"), 32, cache_dir=str(cache))
    assert len(dataset.train) == 10 * ROWS


@pytest.mark.parametrize("text", ["", '{"source": "/da'])
def test_a_cache_whose_record_was_cut_is_written_again(tmp_path, text):
    write(tmp_path / "data")
    cache = tmp_path / "cache"
    small_imagenet127.load(str(tmp_path / "data"), 32, cache_dir=str(cache))
    (cache / "small_imagenet127_32_train.json").write_text(text)
    dataset = small_imagenet127.load(str(tmp_path / "data"), 32, cache_dir=str(cache))
    assert len(dataset.train) == 10 * ROWS


def test_two_processes_fill_one_cache_once(tmp_path, monkeypatch):
    write_file, written = pixel_cache._write, []

    def count(source, stem):
        written.append(stem)
        write_file(source, stem)

    monkeypatch.setattr(pixel_cache, "_write", count)
    write(tmp_path / "data")
    cache = tmp_path / "cache"
    cache.mkdir()
    found = []

    def fill():
        found.append(small_imagenet127.load(str(tmp_path / "data"), 32, cache_dir=str(cache)))

    # A lock of the kernel's belongs to an open file, so that threads exclude each other too.
    with cache_folder.alone(str(cache)):
        threads = [threading.Thread(target=fill) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert not found
        assert [path.name for path in cache.iterdir()] == [cache_folder.LOCK]
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0].train.pixels, found[1].train.pixels)
    assert not list(cache.glob("*.part"))
    assert len(written) == len(set(written)) == 2


def test_cache_of_other_data_or_inside_the_data_is_refused(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    cache = str(tmp_path / "cache")
    small_imagenet127.load(str(tmp_path / "one"), 32, cache_dir=cache)
    with pytest.raises(ValueError, match="choose another folder"):
        small_imagenet127.load(str(tmp_path / "two"), 32, cache_dir=cache)
    with pytest.raises(ValueError, match="--cache_dir must lie outside --data_dir"):
        small_imagenet127.load(str(tmp_path / "one"), 32, cache_dir=str(tmp_path / "one/cache"))
    assert not (tmp_path / "one" / "cache").exists()


def test_more_than_the_machines_memory_is_refused():
    source = pixel_cache.Source("", 10**12, (64, 64, 3), lambda: iter(()))
    with pytest.raises(ValueError, match=r"need 12288000\.0 GB of memory.*--cache_dir"):
        pixel_cache.check_memory([source])


class Runs:
    def __reduce__(self):
        return os.system, ("exit 1",)


def set_(key, value):
    return lambda name, held: {**held, key: value} if name == "train_data_batch_3" else held


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_("labels", Runs()), r"batch_3 cannot be read: .*only arrays.*system"),
        (set_("labels", [0, 1, 2]), r"batch_3 must hold labels in 1\.\.1000, got 0\.\.2"),
        (set_("labels", [1, 2, 1001]), r"got 1\.\.1001"),
        (set_("labels", [1, 2]), r"a label for each of 3 pictures"),
        (set_("labels", [1.0, 2.0, 3.0]), r"a label for each of 3 pictures"),
        (set_("data", np.zeros((3, 12288), np.uint8)), r"3072 columns.*got uint8 \[3, 12288\]"),
        (set_("data", np.zeros((3, 3072), np.float32)), r"data of uint8.*got float32"),
        (lambda name, held: {"data": held["data"]}, r"batch_1 must hold data and labels"),
        (lambda name, held: [1, 2], r"batch_1 cannot be read"),
    ],
)
def test_files_that_hold_something_else_are_refused_by_name(tmp_path, change, message):
    write(tmp_path, change=change)
    with pytest.raises(ValueError, match=message):
        small_imagenet127.load(str(tmp_path), 32)


@pytest.mark.parametrize("name", ["train_data_batch_7", "val_data"])
def test_a_missing_file_is_named(tmp_path, name):
    write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"must hold {name} .*imagenet_resized/32x32"):
        small_imagenet127.load(str(tmp_path), 32)


@pytest.mark.parametrize(("name", "as_npz"), [("val_data", False), ("val_data.npz", True)])
def test_a_file_that_is_cut_off_is_named(tmp_path, name, as_npz):
    write(tmp_path, as_npz=as_npz)
    contents = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(contents[: len(contents) // 2])
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        small_imagenet127.load(str(tmp_path), 32)


def test_other_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="size must be one of 32, 64, got 16"):
        small_imagenet127.load(str(tmp_path), 16)


class Prepared(tfds.core.GeneratorBasedBuilder):
    """imagenet_resized/32x32 with a few pictures."""

    name = "imagenet_resized"
    VERSION = tfds.core.Version("0.1.1")
    BUILDER_CONFIGS: ClassVar[list] = [tfds.core.BuilderConfig(name="32x32", version=VERSION)]

    def _info(self):
        wnids = [row["wnid"] for row in imagenet127.table("downsampled_imagenet_labels.csv")]
        features = {
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(names=wnids),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples(0), "validation": self._generate_examples(1)}

    def _generate_examples(self, seed):
        held = batch(seed, rows=20)
        pixels = expected({"x": held}, ["x"], 32)
        for row, label in enumerate(held["labels"]):
            yield row, {"image": pixels[row], "label": label - 1}


def test_prepared_set_holds_the_same_pictures_and_classes(tmp_path):
    config = tfds.download.DownloadConfig(num_shards=3)
    builder = Prepared(data_dir=str(tmp_path), config="32x32")
    builder.download_and_prepare(download_config=config)
    dataset = small_imagenet127.load(str(tmp_path), 32)
    for images, seed in ((dataset.train, 0), (dataset.test, 1)):
        held = batch(seed, rows=20)
        pixels = expected({"x": held}, ["x"], 32)
        classes = small_imagenet_files.classes_of_labels()[np.array(held["labels"]) - 1]
        got = {
            row.tobytes(): label for row, label in zip(images.pixels, images.labels, strict=True)
        }
        want = {row.tobytes(): label for row, label in zip(pixels, classes, strict=True)}
        assert got == want
    with pytest.raises(FileNotFoundError, match="must hold train_data_batch_1"):
        small_imagenet127.load(str(tmp_path), 64)


def test_names_may_be_bytes_as_python_2_writes_them(tmp_path):
    held = write(tmp_path, change=lambda name, held: {k.encode(): v for k, v in held.items()})
    dataset = small_imagenet127.load(str(tmp_path), 32)
    np.testing.assert_array_equal(dataset.test.pixels, expected(held, ["val_data"], 32))
