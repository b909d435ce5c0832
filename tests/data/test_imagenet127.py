import collections
import io
import json
import os
import shutil

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from drw_tf.data import dataset as records
from drw_tf.data import ilsvrc_labels, imagenet127, prepared_sets

WNIDS = tuple(imagenet127.superclasses())


def one_of_each_class():
    first = {}
    for wnid, number in imagenet127.superclasses().items():
        first.setdefault(number, wnid)
    return [first[number] for number in range(127)]


def jpeg(value=0):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 3), (value % 256, value // 256, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def full_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for value, wnid in enumerate(one_of_each_class()):
        for part in ("train", "val"):
            (root / part / wnid).mkdir(parents=True)
            (root / part / wnid / f"{wnid}_{part}.JPEG").write_bytes(jpeg(value))
    return root


@pytest.fixture
def tree(full_tree, tmp_path):
    return shutil.copytree(full_tree, tmp_path / "tree", symlinks=True)


# The table.


def test_table_has_1000_sorted_wnids_and_127_classes():
    assert len(WNIDS) == 1000
    assert list(WNIDS) == sorted(set(WNIDS))
    assert set(imagenet127.superclasses().values()) == set(range(127))
    assert len(set(imagenet127.class_names())) == 127


def test_table_has_the_sizes_that_crest_states():
    names = imagenet127.class_names()
    fine = collections.Counter(names[c] for c in imagenet127.superclasses().values())
    # Huh et al.; 50 validation pictures a fine class.
    assert fine.most_common(5) == [
        ("mammal", 218),
        ("device", 124),
        ("container", 92),
        ("bird", 59),
        ("structure", 57),
    ]
    assert sum(number == 1 for number in fine.values()) == 65
    assert fine["butterfly fish"] == 1
    assert names[imagenet127.superclasses()["n02606052"]] == "butterfly fish"  # rock beauty
    assert names[imagenet127.superclasses()["n01440764"]] == "soft-finned fish"  # tench


def test_both_tables_agree():
    fine = collections.Counter(imagenet127.superclasses().values())
    rows = imagenet127.table("imagenet127_classes.csv")
    assert [int(row["class_index"]) for row in rows] == list(range(127))
    for row in rows:
        assert int(row["fine_classes"]) == fine[int(row["class_index"])]
        assert int(row["validation_images"]) == 50 * int(row["fine_classes"])
    assert sum(int(row["validation_images"]) for row in rows) == 50_000
    named = {row["wnid"]: row["class_name"] for row in imagenet127.table("imagenet127.csv")}
    names = imagenet127.class_names()
    assert all(named[wnid] == names[c] for wnid, c in imagenet127.superclasses().items())


# A tree.


def test_tree_becomes_rows_sorted_by_wnid_and_name(tree):
    extra = "n01443537"  # goldfish, soft-finned fish, class 126
    (tree / "train" / extra).mkdir(exist_ok=True)
    for name in ("b.JPEG", "a.jpeg", ".hidden.JPEG", "notes.txt"):
        (tree / "train" / extra / name).write_bytes(jpeg())
    dataset = imagenet127.load(str(tree), note=lambda line: None)
    names = [path.split("/")[-2:] for path in dataset.train.paths]
    assert names == sorted(names)
    assert {name for wnid, name in names if wnid == extra} >= {"a.jpeg", "b.JPEG"}
    counts = records.class_counts(dataset.train.labels, 127)
    assert counts.sum() == 129
    assert counts[126] == 3
    assert len(dataset.test) == 127
    assert dataset.image_shape == (224, 224, 3)
    assert dataset.given_split is None
    for path, label in zip(dataset.test.paths, dataset.test.labels, strict=True):
        assert imagenet127.superclasses()[path.split("/")[-2]] == label


def test_tree_as_kaggle_packs_it(tree):
    target = tree.parent / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC"
    target.parent.mkdir(parents=True)
    tree.rename(target)
    assert len(imagenet127.load(str(tree.parent / "kaggle")).train) == 127


def test_validation_may_lack_classes(tree):
    shutil.rmtree(tree / "val" / "n02606052")
    assert len(imagenet127.load(str(tree)).test) == 126


def flat(tree, names):
    shutil.rmtree(tree / "val")
    (tree / "val").mkdir()
    for name in names:
        (tree / "val" / name).write_bytes(jpeg())


def test_flat_validation_under_official_names_needs_no_file(tree):
    # The first lines of the official list: sea snake, alp, Shetland sheepdog.
    flat(tree, [f"ILSVRC2012_val_{number:08d}.JPEG" for number in (3, 1, 2)])
    dataset = imagenet127.load(str(tree))
    names = [dataset.class_names[label] for label in dataset.test.labels]
    assert names == ["snake", "geological formation", "mammal"]


def test_flat_validation_with_kaggles_table(tree, tmp_path):
    flat(tree, ["y.JPEG", "x.JPEG"])
    table = tmp_path / "LOC_val_solution.csv"
    table.write_text(
        "ImageId,PredictionString\n"
        "x,n01440764 1 2 3 4 n01440764 5 6 7 8 \n"
        "y,n02606052 1 2 3 4 \n"
        "z,n02606052 1 2 3 4 \n"
    )
    dataset = imagenet127.load(str(tree), val_labels=str(table))
    names = [dataset.class_names[label] for label in dataset.test.labels]
    assert names == ["soft-finned fish", "butterfly fish"]


@pytest.mark.parametrize(
    "text",
    [
        "x.JPEG n01440764\ny.JPEG n02606052\n",
        "x,n01440764\ny,n02606052\n",
        # 0 is the first wnid (tench), 392 rock beauty: positions among the sorted wnids.
        "val/y.JPEG 392\nval/x.JPEG 0\n",
        "n01440764\nn02606052\n",
    ],
)
def test_flat_validation_with_other_tables(tree, tmp_path, text):
    flat(tree, ["y.JPEG", "x.JPEG"])
    table = tmp_path / "labels.txt"
    table.write_text(text)
    dataset = imagenet127.load(str(tree), val_labels=str(table))
    names = [dataset.class_names[label] for label in dataset.test.labels]
    assert names == ["soft-finned fish", "butterfly fish"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "without official names .* as x, y; --val_labels must name a file"),
        ("490\n361\n", "the devkit's own class numbers"),
        ("n01440764\n", "one line for each of the 2 pictures, got 1"),
        ("x n01440764\n", "lacks 1 of 2 pictures, as y"),
        ("x n01440764\ny n99999999\n", "'n99999999' is no class of ImageNet-1k"),
        ("x 0\ny 1000\n", "'1000' is no class of ImageNet-1k"),
        ("", "lacks 2 of 2 pictures"),
    ],
)
def test_flat_validation_whose_classes_cannot_be_told(tree, tmp_path, text, message):
    flat(tree, ["x.JPEG", "y.JPEG"])
    table = tmp_path / "labels.txt"
    table.write_text(text or "")
    with pytest.raises(ValueError, match=message):
        imagenet127.load(str(tree), val_labels=None if text is None else str(table))


def test_official_numbers_end_at_50000(tree):
    flat(tree, ["ILSVRC2012_val_00050001.JPEG"])
    with pytest.raises(ValueError, match=r"numbers outside 1\.\.50000"):
        imagenet127.load(str(tree))


def test_a_table_that_nobody_needs_is_refused(tree):
    with pytest.raises(ValueError, match=r"--val_labels is for a flat folder; .*has folders"):
        imagenet127.load(str(tree), val_labels="labels.txt")


def test_home_folder_may_be_written_as_a_tilde(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.parent))
    assert len(imagenet127.load("~/tree").train) == 127


def test_a_table_that_is_not_utf8_is_named(tree, tmp_path):
    flat(tree, ["x.JPEG"])
    table = tmp_path / "labels.txt"
    table.write_bytes("é n01440764".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"^--val_labels={table} must be UTF-8: "):
        imagenet127.load(str(tree), val_labels=str(table))


def test_missing_table_of_validation_classes(tree):
    with pytest.raises(FileNotFoundError, match=r"--val_labels=.*none\.txt is not a file"):
        ilsvrc_labels.read(["x"], str(tree / "none.txt"), WNIDS, "val", print)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: shutil.rmtree(t / "val"), FileNotFoundError, "val is missing"),
        (lambda t: shutil.rmtree(t / "train"), FileNotFoundError, "it holds val"),
        (lambda t: (t / "train" / "cats").mkdir(), ValueError, "wnids of ImageNet-1k.*got cats"),
        (lambda t: (t / "val" / "n00000001").mkdir(), ValueError, "got n00000001"),
        (
            lambda t: shutil.rmtree(t / "train" / "n02606052"),
            ValueError,
            "127 classes; 1 have none: butterfly fish",
        ),
        (lambda t: flat(t, []), ValueError, "neither wnid folders nor pictures"),
    ],
)
def test_a_tree_that_is_not_imagenet_is_refused(tree, change, error, message):
    change(tree)
    with pytest.raises(error, match=message):
        imagenet127.load(str(tree))


def test_a_folder_that_does_not_exist_says_what_should_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold train/<wnid>/\*\.JPEG and val/"):
        imagenet127.load(str(tmp_path / "none"))


def test_a_cache_folder_is_refused_for_a_tree(tree, tmp_path):
    with pytest.raises(ValueError, match=r"^--cache_dir is for what .* got \S+cache\.$"):
        imagenet127.load(str(tree), cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


# TensorFlow Datasets' form.


class Prepared(tfds.core.GeneratorBasedBuilder):
    """imagenet2012 with a few pictures."""

    name = "imagenet2012"
    VERSION = tfds.core.Version("5.1.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=WNIDS),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {
            "train": self._generate_examples("train"),
            "validation": self._generate_examples(""),
        }

    def _generate_examples(self, part):
        for number, wnid in enumerate(one_of_each_class()):
            name = f"{wnid}_7.JPEG" if part else f"ILSVRC2012_val_{number + 1:08d}.JPEG"
            image = io.BytesIO(jpeg(number))
            yield name, {"image": image, "label": wnid, "file_name": name}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    config = tfds.download.DownloadConfig(num_shards=4)
    Prepared(data_dir=str(root)).download_and_prepare(download_config=config)
    return root


@pytest.fixture(scope="module")
def full_extraction(prepared, tmp_path_factory):
    cache = tmp_path_factory.mktemp("extraction") / "cache"
    imagenet127.load(str(prepared), cache_dir=str(cache))
    return cache


@pytest.fixture
def extraction(full_extraction, tmp_path):
    """A finished extraction of what is prepared."""
    return shutil.copytree(full_extraction, tmp_path / "cache")


def test_prepared_set_is_extracted_byte_for_byte(prepared, tmp_path):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in prepared.rglob("*"))
    dataset = imagenet127.load(str(prepared), cache_dir=str(tmp_path / "cache"))
    assert len(dataset.train) == len(dataset.test) == 127
    for number, wnid in enumerate(one_of_each_class()):
        path = tmp_path / "cache" / "train" / wnid / f"{wnid}_7.JPEG"
        assert path.read_bytes() == jpeg(number)
        path = tmp_path / "cache" / "val" / wnid / f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        assert path.read_bytes() == jpeg(number)
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert before == sorted((str(path), path.stat().st_mtime_ns) for path in prepared.rglob("*"))


def test_interrupted_extraction_goes_on_and_is_refused_as_a_tree(prepared, extraction):
    cache = extraction
    state = json.loads((cache / "extraction.json").read_text())
    assert state["done"] == state["shards"] == {"train": 4, "validation": 4}
    # As if it had stopped after three of four shards of the training pictures.
    state["done"] = {"train": 3, "validation": 0}
    (cache / "extraction.json").write_text(json.dumps(state))
    shutil.rmtree(cache / "val")
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.JPEG")}
    with pytest.raises(ValueError, match="unfinished extraction"):
        imagenet127.load(str(cache))
    assert len(imagenet127.load(str(prepared), cache_dir=str(cache)).test) == 127
    rewritten = sum(path.stat().st_mtime_ns != stamp for path, stamp in kept.items())
    assert 0 < rewritten < 50  # One shard of four of 127 pictures.


def test_a_kill_at_the_first_writing_of_the_state_stands_in_nobodys_way(prepared, tmp_path):
    (tmp_path / ".extraction.json.123.unfinished").write_text("{")
    imagenet127.load(str(prepared), cache_dir=str(tmp_path))
    assert imagenet127.load(str(tmp_path)).num_classes == 127


def test_finished_extraction_is_not_repeated(prepared, extraction):
    before = [(p, p.stat().st_mtime_ns) for p in extraction.rglob("*")]
    imagenet127.load(str(prepared), cache_dir=str(extraction))
    assert before == [(p, p.stat().st_mtime_ns) for p in extraction.rglob("*")]


def test_cache_folder_is_needed_outside_the_data_and_free(prepared, tmp_path):
    with pytest.raises(ValueError, match="--cache_dir must name a folder"):
        imagenet127.load(str(prepared))
    with pytest.raises(ValueError, match="--cache_dir must lie outside --data_dir"):
        imagenet127.load(str(prepared), cache_dir=str(prepared / "cache"))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="it holds other things"):
        imagenet127.load(str(prepared), cache_dir=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_cache_of_another_source_is_refused(prepared, tmp_path):
    counts = {"train": 4, "validation": 4}
    state = {"source": "imagenet2012/5.0.0", "shards": counts, "done": counts}
    (tmp_path / "extraction.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"holds an extraction of imagenet2012/5\.0\.0"):
        imagenet127.load(str(prepared), cache_dir=str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"source": "imagenet2012/5.1.0", "sha',
        '{"source": "imagenet2012/5.1.0", "shards": {"train": 4}, "done": {"train": 4}}',
        '{"source": "imagenet2012/5.1.0", "shards": 4, "done": null}',
        "\0\0\0\0",
    ],
)
def test_a_state_that_is_none_is_refused_with_its_path(prepared, tree, text):
    (tree / "extraction.json").write_text(text)
    message = rf"^{tree}/extraction\.json is not the state of an extraction"
    with pytest.raises(ValueError, match=message):
        imagenet127.load(str(tree))
    with pytest.raises(ValueError, match=message):
        imagenet127.load(str(prepared), cache_dir=str(tree))


def test_pictures_are_on_the_disk_before_the_state_counts_their_shard(
    prepared, tmp_path, monkeypatch
):
    cache, seen = tmp_path / "cache", []

    def sync():
        done = json.loads((cache / "extraction.json").read_text())["done"]
        seen.append((sum(done.values()), len(list(cache.rglob("*.JPEG")))))

    monkeypatch.setattr(os, "sync", sync)
    imagenet127.load(str(prepared), cache_dir=str(cache))
    shards, pictures = zip(*seen, strict=True)
    assert shards == tuple(range(8))
    assert list(pictures) == sorted(set(pictures))
    assert pictures[-1] == 2 * 127


def test_too_little_room_is_refused(prepared, tmp_path, monkeypatch):
    usage = collections.namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(ValueError, match=r"must have room for .* GB, got 0\.0 GB"):
        imagenet127.load(str(prepared), cache_dir=str(tmp_path / "cache"))


def test_unprepared_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"downloads/manual.*download_and_prepare\(\)"):
        imagenet127.load_tfds(str(tmp_path), str(tmp_path / "cache"))


def test_newest_version_is_taken(tmp_path):
    for version in ("5.0.0", "5.10.0", "5.9.0", "not.a.version"):
        (tmp_path / "imagenet2012" / version).mkdir(parents=True)
        (tmp_path / "imagenet2012" / version / "dataset_info.json").write_text("{}")
    folder = prepared_sets.newest(str(tmp_path), "imagenet2012")
    assert folder == str(tmp_path / "imagenet2012" / "5.10.0")
