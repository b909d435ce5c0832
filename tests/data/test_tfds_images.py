import contextlib
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from drw_tf import config as configuration
from drw_tf.data import cache_folder, registry, tfds_images

ROWS = 30
SIDE = 4


def image_feature(side=SIDE, channels=3, dtype=np.uint8):
    return tfds.features.Image(shape=(side, side, channels), dtype=dtype)


def examples(split="train", rows=ROWS, feature=None, with_id=True, start=0, label=None):
    """Row i has i in all its pixels, and the class i % 3."""
    shape = (feature or image_feature()).shape
    for i in range(start, start + rows):
        side = [SIDE + i % 3 if n is None else n for n in shape[:2]]
        row = {
            "image": np.full([*side, shape[2]], i, np.uint8),
            "label": i % 3 if label is None else label,
        }
        yield i, {"id": f"{split}_{i:05d}", **row} if with_id else row


def prepare(folder, splits=None, name="tiny", version="1.0.0", shards=1, config=None, **features):
    """Writes a small set the way TensorFlow Datasets does: shuffled."""
    if not splits:
        splits = {"train": examples(), "test": examples("test", 6, start=100)}
    features = {
        "id": tfds.features.Text(),
        "image": image_feature(),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        **features,
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version,
        tfds.features.FeaturesDict({k: f for k, f in features.items() if f is not None}),
        {split: list(rows) for split, rows in splits.items()},
        config=config,
        data_dir=folder,
        download_config=tfds.download.DownloadConfig(num_shards=shards),
    )


@pytest.fixture(scope="module", autouse=True)
def _without_progress_bars():
    tfds.disable_progress_bar()
    yield
    tfds.enable_progress_bar()


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare(folder, shards=3)
    return folder


def order_in_files(folder, name="tiny"):
    files = sorted(folder.glob(f"{name}/*/{name}-train*"))
    builder = tfds.builder_from_directory(files[0].parent)
    config = tfds.ReadConfig(interleave_cycle_length=1)
    rows = builder.as_dataset(split="train", read_config=config).as_numpy_iterator()
    return len(files), [int(row["image"][0, 0, 0]) for row in rows]


# What is loaded


def test_rows_with_numbered_ids_are_in_the_official_order(tiny):
    shards, stored = order_in_files(tiny)
    assert shards == 3
    assert stored != sorted(stored)
    dataset = tfds_images.load("tfds:tiny", tiny)
    assert dataset.train.pixels.shape == (ROWS, SIDE, SIDE, 3)
    assert dataset.train.pixels.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    want = np.arange(ROWS)
    assert (dataset.train.pixels == want[:, None, None, None]).all()
    assert dataset.train.labels.tolist() == (want % 3).tolist()
    assert dataset.test.pixels[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104, 105]
    assert dataset.test.labels.tolist() == [1, 2, 0, 1, 2, 0]


def test_what_is_known_of_a_data_set_is_loaded_with_it(tiny):
    dataset = tfds_images.load("tfds:tiny", str(tiny))
    assert dataset.name == "tfds:tiny"
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.image_shape == (SIDE, SIDE, 3)
    assert dataset.flip
    assert dataset.given_split is None
    # Of 0 ... 29: mean 29 / 2, variance (30 ** 2 - 1) / 12.
    np.testing.assert_allclose(dataset.mean, [14.5 / 255] * 3, rtol=1e-12)
    np.testing.assert_allclose(dataset.std, [(899 / 12) ** 0.5 / 255] * 3, rtol=1e-12)


def test_rows_without_ids_keep_the_order_of_the_files_however_many_these_are(tmp_path):
    found = []
    for shards in (1, 3):
        folder = tmp_path / str(shards)
        # More rows a file than are read in turn by default.
        rows = examples(rows=90, with_id=False)
        prepare(folder, {"train": rows}, id=None, shards=shards)
        files, stored = order_in_files(folder)
        assert files == shards
        dataset = tfds_images.load("tfds:tiny", folder)
        found.append(dataset.train.pixels[:, 0, 0, 0].tolist())
        assert found[-1] == stored
        assert dataset.train.labels.tolist() == [i % 3 for i in stored]
        assert dataset.test is None
    assert found[0] == found[1] != sorted(found[0])


@pytest.mark.parametrize(
    ("ids", "order"),
    [
        ([b"train_2", b"train_10", b"train_1"], [2, 0, 1]),
        ([b"7", b"3"], [1, 0]),
        ([b"train_1", b"test_2"], None),
        ([b"train_1", b"train_01"], None),
        ([b"train_1", b"train_x"], None),
        ([b"", b""], None),
        ([], None),
    ],
)
def test_only_ids_that_number_all_rows_give_an_order(ids, order):
    found = tfds_images.official_order(ids)
    assert (found if found is None else found.tolist()) == order


def test_validation_stands_in_for_a_test_split_without_labels(tmp_path):
    splits = {
        "train": examples(),
        "test": examples("test", 4, label=-1),
        "validation": examples("validation", 5, start=50),
    }
    prepare(tmp_path, splits)
    dataset = tfds_images.load("tfds:tiny", tmp_path)
    assert dataset.test.pixels[:, 0, 0, 0].tolist() == [50, 51, 52, 53, 54]


def test_a_test_split_is_taken_before_validation(tmp_path):
    splits = {
        "train": examples(),
        "validation": examples("validation", 5, start=50),
        "test": examples("test", 4, start=70),
    }
    prepare(tmp_path, splits)
    assert len(tfds_images.load("tfds:tiny", tmp_path).test) == 4


def with_unlabeled(folder, split="unlabelled", name="tiny", label=-1, with_id=True):
    """Writes a set with seven pictures, 50 to 56, in a split of their own."""
    splits = {
        "train": examples(with_id=with_id),
        split: examples(split, 7, start=50, label=label, with_id=with_id),
        "test": examples("test", 4, start=70, with_id=with_id),
    }
    prepare(folder, splits, name=name, **({} if with_id else {"id": None}))


@pytest.mark.parametrize("split", ["unlabelled", "unlabeled"])
@pytest.mark.parametrize("label", [-1, 2])
def test_a_split_of_unlabeled_pictures_follows_the_labeled_ones(tmp_path, split, label):
    with_unlabeled(tmp_path, split, label=label)
    notes = []
    dataset = tfds_images.load("tfds:tiny", tmp_path, unlabeled=True, note=notes.append)
    numbers = [*range(ROWS), *range(50, 57)]
    assert dataset.train.pixels[:, 0, 0, 0].tolist() == numbers
    # Whatever the files say of the classes.
    assert dataset.train.labels.tolist() == [i % 3 for i in range(ROWS)] + [-1] * 7
    assert len(dataset.test) == 4
    np.testing.assert_allclose(dataset.mean, [np.mean(numbers) / 255] * 3, rtol=1e-12)
    assert notes == []


def test_a_split_of_unlabeled_pictures_that_is_not_read_is_told(tmp_path):
    with_unlabeled(tmp_path)
    notes = []
    dataset = tfds_images.load("tfds:tiny", tmp_path, note=notes.append)
    assert dataset.train.labels.tolist() == [i % 3 for i in range(ROWS)]
    assert notes == [
        "tfds:tiny: the split unlabelled (7 pictures) is not read; pictures of train are taken "
        "as unlabeled ones."
    ]


def test_a_missing_split_of_unlabeled_pictures_is_refused(tiny):
    with pytest.raises(ValueError, match=r"^tfds:tiny must have a split unlabelled or unlabeled; "):
        tfds_images.load("tfds:tiny", tiny, unlabeled=True)


def test_unlabeled_pictures_count_where_memory_is_short(tmp_path, monkeypatch):
    with_unlabeled(tmp_path)
    monkeypatch.setattr(tfds_images, "MAX_BYTES", (ROWS + 7) * SIDE * SIDE * 3 - 1)
    tfds_images.load("tfds:tiny", tmp_path)
    with pytest.raises(ValueError, match="must fit in"):
        tfds_images.load("tfds:tiny", tmp_path, unlabeled=True)


@pytest.mark.parametrize("name", ["tfds:stl10", "tfds:stl10:1.0.0"])
def test_all_of_stl10s_unlabeled_pictures_are_unlabeled_and_no_others(tmp_path, name):
    with_unlabeled(tmp_path, name="stl10", with_id=False)
    words = {"dataset": name, "data_dir": str(tmp_path), "validation_per_class": 2}
    config = configuration.resolve({**words, "labeled_max": 8, "imbalance_ratio": 4.0})
    assert (config.unlabeled_max, config.unlabeled_imbalance_ratio, config.unlabeled_order) == (
        None,
        None,
        None,
    )
    dataset, split = registry.load(config)
    assert split.unlabeled.tolist() == list(range(ROWS, ROWS + 7))
    assert sorted(dataset.train.pixels[split.unlabeled, 0, 0, 0]) == list(range(50, 57))
    # 8 x 4 ** (-c / 2) is 8, 4, 2.
    assert np.bincount(dataset.train.labels[split.labeled]).tolist() == [8, 4, 2]
    assert np.bincount(dataset.train.labels[split.validation]).tolist() == [2, 2, 2]
    config = configuration.resolve({**words, "labeled_max": 9, "imbalance_ratio": 1.0})
    said = r"class 0 must have 11 pictures .* Lower --labeled_max or --validation_per_class\.$"
    with pytest.raises(ValueError, match=said):
        registry.load(config)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("unlabeled_max", 20),
        ("unlabeled_imbalance_ratio", 2.0),
        ("unlabeled_order", "uniform"),
    ],
)
def test_flags_of_an_unlabeled_tail_are_refused_where_there_is_none(flag, value):
    with pytest.raises(configuration.ConfigError, match=rf"^--{flag} is not read by --dataset="):
        configuration.resolve({"dataset": "tfds:stl10", flag: value})
    configuration.resolve({"dataset": "tfds:stl10x", flag: value})


@pytest.mark.parametrize(
    ("name", "stored", "mean", "std", "flip"),
    [
        ("cifar10", "cifar10", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616), True),
        ("tfds:cifar10", "cifar10", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616), True),
        ("cifar100", "cifar100", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), True),
        ("svhn", "svhn_cropped", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), False),
        ("fashion_mnist", "fashion_mnist", (0.2861,), (0.3530,), True),
    ],
)
def test_well_known_sets_have_their_published_numbers(tmp_path, name, stored, mean, std, flip):
    feature = image_feature(channels=len(mean))
    prepare(tmp_path, {"train": examples(feature=feature)}, name=stored, image=feature)
    dataset = tfds_images.load(name, tmp_path)
    assert (dataset.name, dataset.mean, dataset.std, dataset.flip) == (name, mean, std, flip)
    assert dataset.image_shape == (SIDE, SIDE, len(mean))


def test_what_another_process_has_prepared_meanwhile_is_not_fetched_again(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def alone(folder):
        prepare(folder)  # as one does that was waited for
        yield

    monkeypatch.setattr(cache_folder, "alone", alone)
    dataset = tfds_images.load("tfds:tiny", tmp_path / "new", download=True)
    assert len(dataset.train) == ROWS


@pytest.mark.parametrize(("config", "flip"), [("svhn", False), ("omniglot", False), ("dtd", True)])
def test_pictures_of_digits_are_not_mirrored_in_a_set_of_many_kinds(tmp_path, config, flip):
    name = "visual_domain_decathlon"
    prepare(tmp_path, name=name, config=tfds.core.BuilderConfig(name=config))
    assert tfds_images.load(f"tfds:{name}/{config}", tmp_path).flip == flip
    assert not tfds_images.load(f"tfds:{name}/{config}", tmp_path, flip=False).flip


# Sizes


def test_pictures_that_vary_in_size_are_resized_to_one(tmp_path):
    feature = image_feature(side=None)
    prepare(tmp_path, {"train": examples(feature=feature)}, image=feature)
    with pytest.raises(ValueError, match=r"image_size must be given, as .* tfds:tiny vary in size"):
        tfds_images.load("tfds:tiny", tmp_path)
    dataset = tfds_images.load("tfds:tiny", tmp_path, image_size=8)
    assert dataset.image_shape == (8, 8, 3)
    # Each picture is of one grey, which resizing keeps.
    assert (dataset.train.pixels == np.arange(ROWS)[:, None, None, None]).all()


def test_resizing_is_that_of_pillow(tmp_path):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (16, 12, 3), np.uint8) for _ in range(3)]
    rows = [(i, {"id": f"train_{i}", "image": p, "label": i}) for i, p in enumerate(pictures)]
    prepare(tmp_path, {"train": rows}, name="cifar10", image=image_feature(side=None))
    dataset = tfds_images.load("cifar10", tmp_path, image_size=6)
    want = [Image.fromarray(p).resize((6, 6), Image.Resampling.BILINEAR) for p in pictures]
    got = dataset.train.pixels.astype(int)
    difference = got - np.stack([np.asarray(w) for w in want]).astype(int)
    assert np.abs(difference).max() <= 1
    assert np.abs(difference.mean()) < 0.1
    # The published numbers are those of the pictures as they come.
    np.testing.assert_allclose(dataset.mean, got.mean((0, 1, 2)) / 255, rtol=1e-12)


def test_the_size_that_pictures_have_already_changes_nothing(tiny):
    plain = tfds_images.load("tfds:tiny", tiny)
    sized = tfds_images.load("tfds:tiny", tiny, image_size=SIDE)
    np.testing.assert_array_equal(plain.train.pixels, sized.train.pixels)


def test_more_than_fits_in_memory_is_refused_before_it_is_read(tiny, monkeypatch):
    monkeypatch.setattr(tfds_images, "MAX_BYTES", ROWS * SIDE * SIDE * 3)
    tfds_images.load("tfds:tiny", tiny)
    monkeypatch.setattr(tfds_images, "MAX_BYTES", ROWS * SIDE * SIDE * 3 - 1)
    with pytest.raises(
        ValueError, match=r"must fit in .* at 4 x 4 pixels; choose a smaller --image_"
    ):
        tfds_images.load("tfds:tiny", tiny)


# Statistics


def test_statistics_are_those_of_each_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (600, 3, 5, 3), np.uint8)
    pixels[..., 1] //= 4
    mean, std = tfds_images.channel_statistics(pixels)
    np.testing.assert_allclose(mean, (pixels / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (pixels / 255).std((0, 1, 2)), rtol=1e-12)


def test_a_channel_that_never_changes_is_divided_by_one():
    mean, std = tfds_images.channel_statistics(np.full((2, 3, 3, 1), 51, np.uint8))
    assert mean == (0.2,)
    assert std == (1.0,)


# What cannot be loaded


@pytest.mark.parametrize("name", ["mnist", "tfds:", "tfds:../etc", "tfds:a/b/c", "tfds:a:1", ""])
def test_an_unknown_name_lists_the_known_ones(tmp_path, name):
    with pytest.raises(ValueError, match=r"dataset must be one of cifar10, cifar100, .* got"):
        tfds_images.load(name, tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "tfds:tiny/small", "tfds:tiny:2.0.0"])
def test_what_is_not_prepared_is_refused_with_the_command_that_gets_it(tiny, name):
    with pytest.raises(FileNotFoundError) as caught:
        tfds_images.load(name, tiny)
    full_name = name.removeprefix("tfds:")
    message = str(caught.value)
    start = f"{full_name} is not prepared in {tiny}; get it with --download or: python -c"
    assert message.startswith(start)
    assert "\n" not in message
    assert f"tfds.builder('{full_name}', data_dir='{tiny}').download_and_prepare()" in message


def test_the_newest_version_is_read_unless_one_is_named(tmp_path):
    for rows, version in ((3, "1.9.0"), (5, "1.10.0"), (4, "1.2.3")):
        prepare(tmp_path, {"train": examples(rows=rows)}, version=version)
    # What an interrupted preparation leaves behind.
    (tmp_path / "tiny" / "2.0.0.incompleteABC").mkdir()
    (tmp_path / "tiny" / "2.0.0").mkdir()
    assert len(tfds_images.load("tfds:tiny", tmp_path).train) == 5
    assert len(tfds_images.load("tfds:tiny:1.9.0", tmp_path).train) == 3


def test_a_config_must_be_named_where_there_are_several(tmp_path):
    prepare(tmp_path, {"train": examples(rows=3)}, config="small")
    assert len(tfds_images.load("tfds:tiny", tmp_path).train) == 3
    prepare(tmp_path, {"train": examples(rows=4)}, config="big")
    assert len(tfds_images.load("tfds:tiny/big", tmp_path).train) == 4
    assert len(tfds_images.load("tfds:tiny/small:1.0.0", tmp_path).train) == 3
    with pytest.raises(ValueError, match=r"the config of tiny, as tfds:tiny/big; .* big, small"):
        tfds_images.load("tfds:tiny", tmp_path)


def test_missing_features_are_refused_with_those_that_are_there(tmp_path):
    rows = [(0, {"picture": np.zeros((4, 4, 3), np.uint8), "id": "a"})]
    prepare(tmp_path, {"train": rows}, image=None, label=None, picture=image_feature())
    with pytest.raises(ValueError, match=r"tfds:tiny has id \(Text\), picture \(Image\)"):
        tfds_images.load("tfds:tiny", tmp_path)


def test_labels_that_are_not_classes_are_refused(tmp_path):
    prepare(tmp_path, {"train": examples()}, label=tfds.features.Scalar(np.int64))
    with pytest.raises(ValueError, match=r"label \(Scalar\)"):
        tfds_images.load("tfds:tiny", tmp_path)


@pytest.mark.parametrize(
    "feature", [image_feature(channels=4), image_feature(dtype=np.uint16, channels=1)]
)
def test_pictures_of_another_kind_are_refused(tmp_path, feature):
    rows = [(0, {"id": "train_0", "image": np.zeros(feature.shape, feature.np_dtype), "label": 0})]
    prepare(tmp_path, {"train": rows}, image=feature)
    with pytest.raises(ValueError, match="must be uint8 with 1 or 3 channels; tfds:tiny has Image"):
        tfds_images.load("tfds:tiny", tmp_path)


def test_a_set_without_training_pictures_is_refused(tmp_path):
    prepare(tmp_path, {"test": examples("test")})
    with pytest.raises(ValueError, match="must have a split train; tfds:tiny has test"):
        tfds_images.load("tfds:tiny", tmp_path)


def test_a_broken_file_is_named(tmp_path):
    prepare(tmp_path)
    (file,) = tmp_path.glob("tiny/1.0.0/tiny-train*")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{tmp_path}/tiny/1.0.0 cannot be read: truncated"):
        tfds_images.load("tfds:tiny", tmp_path)


# Downloads and noise


class OnRequest(tfds.core.GeneratorBasedBuilder):
    """A set that TensorFlow Datasets knows by name and can prepare without a network."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": image_feature(),
            "label": tfds.features.ClassLabel(num_classes=3),
            "id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": examples()}

    def _generate_examples(self):
        raise NotImplementedError


def test_only_a_download_that_is_asked_for_prepares_a_set(tmp_path):
    with pytest.raises(FileNotFoundError):
        tfds_images.load("tfds:on_request", tmp_path)
    assert not list(tmp_path.iterdir())
    dataset = tfds_images.load("tfds:on_request", tmp_path, download=True)
    assert dataset.train.pixels[:, 0, 0, 0].tolist() == list(range(ROWS))
    assert dataset.class_names == ("0", "1", "2")
    assert len(tfds_images.load("tfds:on_request", tmp_path).train) == ROWS


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    class DownloadError(Exception):
        pass

    def fail(*args, **kwargs):
        raise DownloadError("https://example.org\nanswered 503")

    monkeypatch.setattr(tfds, "builder", fail)
    said = f"^--download of cifar10 to {tmp_path} failed: DownloadError: https://.* answered 503$"
    with pytest.raises(ValueError, match=said):
        tfds_images.load("cifar10", tmp_path, download=True)


def test_loading_says_nothing_and_leaves_logging_as_it_was(tiny, caplog, capsys, monkeypatch):
    builder_of = tfds.builder_from_directory

    def noisy(folder):
        logging.info("notice")
        logging.warning("a deprecation inside of the package")
        return builder_of(folder)

    monkeypatch.setattr(tfds, "builder_from_directory", noisy)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        tfds_images.load("tfds:tiny", tiny)
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity(before)
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
