"""Own pictures from flags to a data set: what was damaged, and what tells data from others."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.data import identity, registry

SIDES = (24, 30)


@pytest.fixture
def own(tmp_path):
    """own(*flags): data set and split of two classes of three pictures and two unlabeled ones."""
    generator = np.random.default_rng(0)
    root = tmp_path / "own"
    for name in ("l/cat/1", "l/cat/2", "l/cat/3", "l/dog/1", "l/dog/2", "l/dog/3", "u/1", "u/2"):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (*SIDES, 3), np.uint8)).save(path)

    def load(*flags, notes=None, **options):
        words = ["", "--dataset=folder"]
        for name in ("labeled", "unlabeled", "validation", "test"):
            folder = root / name[0]
            words += [f"--{name}_dir={folder}"] if folder.exists() else []
        config = configuration.resolve(
            configuration.parse([*words, "--image_size=16", f"--workdir={tmp_path}/run", *flags])
        )
        return registry.load(config, None if notes is None else notes.append, **options)

    load.root = root
    return load


def damage(path):
    """Flips a byte of the pixels, which the header says nothing of."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 255
    path.write_bytes(contents)
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(contents)).load()


@pytest.mark.parametrize("name", ["l/dog/2.png", "u/1.png"])
def test_a_picture_that_is_damaged_inside_is_named(own, name):
    damage(own.root / name)
    with pytest.raises(ValueError, match=rf"1 of 8 pictures .*: {own.root}/{name}: it cannot be"):
        own()


def test_a_picture_that_is_damaged_inside_is_left_out_where_that_is_asked(own):
    damage(own.root / "l/dog/2.png")
    notes = []
    dataset, split = own("--on_bad_image=skip", notes=notes)
    assert [bad.path for bad in notes] == [f"{own.root}/l/dog/2.png"]
    assert isinstance(dataset.train, records.ArrayImages)
    np.testing.assert_array_equal(dataset.train.labels, [0, 0, 0, 1, 1, -1, -1])
    np.testing.assert_array_equal(split.unlabeled, [5, 6])


def test_every_file_is_decoded_where_that_is_asked(own):
    damage(own.root / "u/1.png")
    words = ("--on_bad_image=skip", "--in_memory_gigabytes=0")
    for full, number in (("false", 8), ("true", 7)):
        notes = []
        dataset, _ = own(*words, f"--decode_all={full}", notes=notes)
        assert (len(dataset.train), len(notes)) == (number, 8 - number)


def test_a_missing_file_of_a_table_is_left_out_where_that_is_asked(own):
    rows = ["path,label", *(f"{name}/{n}.png,{name}" for name in ("cat", "dog") for n in (1, 2, 9))]
    (own.root / "l" / "table.csv").write_text("\n".join(rows))
    words = ("", "--dataset=csv", f"--labels_csv={own.root}/l/table.csv", "--image_size=16")
    words += (f"--workdir={own.root}/run",)

    def load(*flags):
        return registry.load(configuration.resolve(configuration.parse([*words, *flags])))

    with pytest.raises(FileNotFoundError, match=r"cat/9\.png; .*--on_bad_image=skip leaves them"):
        load()
    assert len(load("--on_bad_image=skip")[0].train) == 4


@pytest.mark.parametrize("words", [["--crop=resized"], ["--in_memory_gigabytes=0"]])
def test_damage_behind_a_header_is_found_where_all_is_decoded(own, words):
    damage(own.root / "u/1.png")
    assert len(own(*words)[0].train) == 8
    with pytest.raises(ValueError, match=r"1 of 8 pictures .*u/1\.png: it cannot be decoded"):
        own(*words, "--decode_all")
    assert len(own(*words, "--decode_all", "--on_bad_image=skip")[0].train) == 7


def test_pictures_that_are_read_once_are_not_decoded_before(own):
    assert isinstance(own()[0].train, records.ArrayImages)
    assert isinstance(own(at_once=False)[0].train, records.FileImages)
    damage(own.root / "u/1.png")
    # What training left out is left out again.
    for words in (["--on_bad_image=skip"], ["--on_bad_image=skip", "--decode_all"]):
        assert len(own(*words, at_once=False)[0].train) == len(own(*words)[0].train) == 7


def test_own_pictures_are_held_out_for_all_seeds_alike(own):
    (dataset, plain), (_, split) = own(), own("--validation_per_class=1")
    _, other = own("--validation_per_class=1", "--seed=5")
    assert split.checksum() == other.checksum() != plain.checksum()
    assert np.bincount(dataset.train.labels[split.validation]).tolist() == [1, 1]
    assert sorted([*split.labeled, *split.validation]) == plain.labeled.tolist()
    fewest = np.bincount(dataset.train.labels[plain.labeled]).min()
    said = rf"at most {fewest - 1}, as there are {fewest} of (cat|dog); got {fewest}\.$"
    with pytest.raises(ValueError, match="--validation_per_class must leave .*" + said):
        own(f"--validation_per_class={fewest}")


def test_a_copy_of_what_was_held_out_is_told(own, caplog):
    shutil.copy(own.root / "l/cat/1.png", own.root / "l/cat/again.png")
    for name in "23":
        (own.root / "l/cat" / f"{name}.png").unlink()
    own(find_copies=True)
    assert caplog.messages == []  # one picture of one class, twice
    own("--validation_per_class=1", find_copies=True)
    (line,) = caplog.messages
    assert line.startswith("there more than once: 1 picture, 1 in two of training, validation and")


def test_pictures_for_validation_are_given_or_drawn(own, caplog):
    plain, _ = own()
    for name in ("cat", "dog"):
        (own.root / "v" / name).mkdir(parents=True)
        shutil.copy(own.root / "l" / name / "1.png", own.root / "v" / name / "x.png")
    dataset, split = own(find_copies=True)
    assert dataset.train.labels[split.validation].tolist() == [0, 1]
    # None of the pictures that are trained on has moved.
    np.testing.assert_array_equal(dataset.train.pixels[: len(plain.train)], plain.train.pixels)
    begin = "there more than once: 2 pictures, 2 in two of training, validation and test, 0 as two"
    assert caplog.messages[0].startswith(begin)
    said = r"must be 0 where pictures for validation are given \(2 pictures\), got 1\.$"
    with pytest.raises(ValueError, match="--validation_per_class " + said):
        own("--validation_per_class=1")


@pytest.mark.parametrize(("method", "told"), [("drw", 1), ("supervised", 0)])
def test_that_nothing_is_unlabeled_is_told(own, caplog, method, told):
    for path in (own.root / "u").iterdir():
        path.rename(own.root / "l" / "cat" / f"u{path.name}")
    (own.root / "u").rmdir()
    own(f"--method={method}")
    assert caplog.text.count("no unlabeled picture is given") == told


@pytest.mark.parametrize("gigabytes", [0, 1])
def test_copies_in_training_and_test_or_in_two_classes_are_told(own, caplog, gigabytes):
    words = [f"--in_memory_gigabytes={gigabytes}"]
    for copy in ("l/cat/again.png", "u/again.png"):  # in one class, and unlabeled
        shutil.copy(own.root / "l/cat/1.png", own.root / copy)
    own(*words, find_copies=True)
    assert caplog.messages == []
    for name in ("t/cat", "t/dog"):
        (own.root / name).mkdir(parents=True)
    shutil.copy(own.root / "l/cat/2.png", own.root / "t/cat/x.png")
    shutil.copy(own.root / "l/dog/2.png", own.root / "l/cat/y.png")
    shutil.copy(own.root / "l/dog/3.png", own.root / "t/dog/z.png")
    shutil.copy(own.root / "l/dog/3.png", own.root / "l/cat/z.png")
    (own.root / "t/cat/only.png").write_bytes(own.root.joinpath("u/1.png").read_bytes())
    own(*words, find_copies=True)
    (line,) = caplog.messages
    begin = "there more than once: 4 pictures, 3 in training and test, 2 as two classes: "
    assert line.startswith(begin)
    said = line.removeprefix(begin).removesuffix(".").replace(f"{own.root}/", "").split("; ")
    assert [set(one.split(" = ")) for one in said] == [
        {"l/cat/2.png", "t/cat/x.png"},
        {"l/cat/y.png", "l/dog/2.png"},
        {"l/cat/z.png", "l/dog/3.png", "t/dog/z.png"},
        {"t/cat/only.png", "u/1.png"},
    ]
    caplog.clear()
    own(*words)
    assert "more than once" not in caplog.text


@pytest.mark.parametrize(("method", "told"), [("drw", 1), ("supervised", 0)])
def test_nothing_leaks_out_of_pictures_that_a_method_does_not_read(own, caplog, method, told):
    (own.root / "t/cat").mkdir(parents=True)
    shutil.copy(own.root / "u/1.png", own.root / "t/cat/only.png")
    own(f"--method={method}", find_copies=True)
    assert caplog.text.count("more than once") == told


def test_a_test_set_of_damaged_pictures_alone_is_refused(own):
    for name in ("cat", "dog"):
        (own.root / "t" / name).mkdir(parents=True)
        (own.root / "t" / name / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"test set is left, .*t/cat/1\.png: the file is empty; "):
        own("--on_bad_image=skip")


def test_a_validation_set_of_damaged_pictures_alone_is_refused(own):
    for name in ("cat", "dog"):
        (own.root / "v" / name).mkdir(parents=True)
        (own.root / "v" / name / "1.png").write_bytes(b"")
    said = r"no picture of the validation set is left, .*v/cat/1\.png: the file is empty; "
    with pytest.raises(ValueError, match=said):
        own("--on_bad_image=skip")


def test_classes_that_lose_all_pictures_of_a_set_by_skipping_are_told(own, caplog):
    for place in ("t/cat", "t/dog", "v/cat", "v/dog"):
        (own.root / place).mkdir(parents=True)
        shutil.copy(own.root / "l" / place[2:] / "1.png", own.root / place / "1.png")
    words = ("--on_bad_image=skip", "--in_memory_gigabytes=0")
    own(*words, notes=[])
    assert caplog.messages == []
    (own.root / "t/cat/1.png").write_bytes(b"")
    (own.root / "v/dog/1.png").write_bytes(b"")
    own(*words, notes=[])
    assert caplog.messages == [
        f"the {what} set has no picture left of {name}: none of them can be used."
        for what, name in (("validation", "dog"), ("test", "cat"))
    ]


@pytest.mark.parametrize("gigabytes", [0, 1])
def test_own_pictures_are_seen_as_their_central_square_however_they_are_kept(own, gigabytes):
    dataset, _ = own(f"--in_memory_gigabytes={gigabytes}")
    assert isinstance(dataset.train, records.ArrayImages if gigabytes else records.FileImages)
    assert dataset.central_fraction == 0.875


# Data that changed


def facts(own, *flags):
    return identity.facts(*own("--in_memory_gigabytes=0", *flags))  # which decodes nothing


def test_data_that_lie_elsewhere_or_are_kept_otherwise_are_the_same(own, tmp_path):
    before = facts(own)
    assert identity.difference(before, facts(own, "--in_memory_gigabytes=1")) is None
    os.rename(own.root, tmp_path / "moved")
    own.root = tmp_path / "moved"
    words = (f"--labeled_dir={own.root}/l", f"--unlabeled_dir={own.root}/u")
    assert identity.difference(before, facts(own, *words)) is None


def _rename(root, one, other):
    os.rename(root / one, root / other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: _rename(root, "l/cat", "l/zebra"), "class 0 was 'cat', now 'dog'"),
        (lambda root: _rename(root, "l/cat/1.png", "l/cat/9.png"), "the files have other names"),
        (lambda root: _rename(root, "u/1.png", "u/9.png"), "the files have other names"),
        (lambda root: _rename(root, "l/cat/1.png", "l/dog/0.png"), "the files have other names"),
        (lambda root: os.remove(root / "u/1.png"), "it had 8 training pictures, now 7"),
    ],
)
def test_what_changed_is_said(own, change, said):
    before = facts(own)
    change(own.root)
    assert identity.difference(before, facts(own)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: _rename(root, "l/cat/1.png", "l/cat/9.png"), "the files have other names"),
        (lambda root: _rename(root, "u/1.png", "u/9.png"), "the files have other names"),
        (lambda root: os.remove(root / "u/1.png"), "it had 2 unlabeled pictures, now 1"),
        (lambda root: shutil.rmtree(root / "t"), None),
    ],
)
def test_what_changed_of_what_is_trained_on_is_said(own, change, said):
    shutil.copytree(own.root / "l", own.root / "t")
    before = facts(own)
    change(own.root)
    found = identity.training_difference(before, facts(own))
    assert found is None if said is None else found.startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: _rename(root, "t/cat/1.png", "t/cat/9.png"), "the test files have other"),
        (lambda root: _rename(root, "t/cat/1.png", "t/dog/9.png"), "the test files have other"),
        (lambda root: os.remove(root / "t/cat/1.png"), "it had 6 test pictures, now 5"),
        (lambda root: _rename(root, "l/cat/1.png", "l/cat/9.png"), None),
        (lambda root: os.remove(root / "u/1.png"), None),
    ],
)
def test_what_changed_of_what_is_tested_on_is_said(own, change, said):
    shutil.copytree(own.root / "l", own.root / "t")
    before = facts(own)["recorded"]
    change(own.root)
    now = facts(own)["recorded"]
    found = identity.test_difference(before, now)
    assert found is None if said is None else found.startswith(said)
    # Records of older versions have the numbers alone.
    before.pop("test_checksum")
    is_told = before["test_counts"] != now["test_counts"]
    assert (identity.test_difference(before, now) is not None) == is_told


def test_other_labels_splits_and_test_sets_are_told():
    pixels = np.zeros([4, 2, 2, 3], np.uint8)

    def facts_of(labels, labeled, test=None):
        train = records.ArrayImages(pixels, np.array(labels, np.int64))
        rows = np.array(labeled, np.int64)
        split = records.Split(rows, np.setdiff1d(np.arange(4), rows), rows[:0])
        test = None if test is None else records.take(train, np.array(test, np.int64))
        named = ("x", ("a", "b"), (2, 2, 3), train, test, True, (0.5,) * 3, (0.5,) * 3)
        return identity.facts(records.Dataset(*named), split)

    before = facts_of([0, 0, 1, 1], [0, 2])
    assert identity.difference(before, facts_of([0, 0, 1, 1], [0, 2])) is None
    assert identity.difference(before, facts_of([0, 1, 0, 1], [0, 2])).endswith("other classes")
    assert identity.difference(before, facts_of([0, 0, 1, 1], [0, 3])).endswith("are labeled")
    tested = facts_of([0, 0, 1, 1], [0, 2], [0, 1])
    assert identity.difference(before, tested) == (
        "it had no test pictures, now 2 (evaluate judges the run as it is on them, with "
        "--test_dir for folders)"
    )
    assert identity.difference(tested, before) == "it had 2 test pictures, now 0"
    assert identity.difference({}, before) is None
    assert identity.class_difference(["a"], ["a", "b"]) == "it had 1 class, now 2 (new: b)"
    assert identity.class_difference(["a", "b", "c"], ["d", "b"]) == (
        "it had 3 classes, now 2 (new: d; gone: a, c)"
    )


def loaded(*flags):
    return registry.load(configuration.resolve(configuration.parse(["train", *flags])))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("same", [60, 47, 37, 30, 23, 18, 15, 11, 9, 7]),
        ("reversed", [7, 9, 11, 15, 18, 23, 30, 37, 47, 60]),
        ("uniform", [60] * 10),
    ],
)
def test_flags_shape_both_tails_and_hold_pictures_out(order, expected):
    flags = ["--labeled_max=30", "--imbalance_ratio=10", "--unlabeled_max=60", "--seed=3"]
    ratio = [] if order == "uniform" else ["--unlabeled_imbalance_ratio=8"]
    flags += [f"--unlabeled_order={order}", "--validation_per_class=5", *ratio]
    dataset, split = loaded(*flags)

    def counts(rows):
        return records.class_counts(dataset.train.labels[rows], 10).tolist()

    # floor(30 * 10 ** (-c / 9)), floor(60 * 8 ** (-c / 9)).
    assert counts(split.labeled) == [30, 23, 17, 13, 10, 8, 6, 5, 3, 3]
    assert counts(split.unlabeled) == expected
    assert counts(split.validation) == [5] * 10
    parts = np.concatenate([split.labeled, split.unlabeled, split.validation])
    assert len(np.unique(parts)) == len(parts)
    other = loaded(*flags[:3], "--seed=4", *flags[4:])[1]
    assert set(other.labeled) != set(split.labeled)


def test_a_fraction_of_each_class_is_labeled_and_some_are_held_out(monkeypatch):
    from drw_tf.data import imagenet127

    train = records.ArrayImages(np.zeros([60, 4, 4, 3], np.uint8), np.repeat([0, 1], [40, 20]))
    whole = records.Dataset("imagenet127", ("a", "b"), (4, 4, 3), train, None, True, None, None)
    monkeypatch.setattr(imagenet127, "load", lambda *args, **kwargs: whole)
    flags = ("--dataset=imagenet127", "--labeled_fraction=0.25", "--validation_per_class=4")
    _, split = loaded(*flags)
    labels = [whole.train.labels[rows] for rows in (split.labeled, split.validation)]
    assert [np.bincount(one).tolist() for one in labels] == [[10, 5], [4, 4]]
    assert not set(split.labeled) & set(split.validation)
    with pytest.raises(ValueError, match="Change --labeled_fraction or --validation_per_class"):
        loaded(*flags[:2], "--validation_per_class=20")


def test_a_fraction_of_a_class_in_a_tree_is_of_several_of_its_kinds(monkeypatch, tmp_path):
    from drw_tf.data import imagenet127

    places = [tmp_path / f"{kind}_{n}.png" for kind in "abcdefghij" for n in range(10)]
    places += [tmp_path / f"z_{n}.png" for n in range(20)]
    Image.new("RGB", (3, 3)).save(places[0])
    for place in places[1:]:
        shutil.copy(places[0], place)
    paths = np.array([str(place) for place in places], object)
    train = records.FileImages(paths, np.repeat([0, 1], [100, 20]))
    whole = records.Dataset("imagenet127", ("a", "b"), (4, 4, 3), train, None, True, None, None)
    monkeypatch.setattr(imagenet127, "load", lambda *args, **kwargs: whole)
    flags = ("--dataset=imagenet127", "--labeled_fraction=0.1", "--validation_per_class=10")
    _, split = loaded(*flags, "--seed=0")
    for rows in (split.labeled, split.validation):
        own = rows[train.labels[rows] == 0]
        assert len(own) == 10
        assert len({places[row].name[0] for row in own}) > 1


def test_paths_out_of_a_tables_folder_are_allowed_by_the_flag(own):
    (own.root / "table").mkdir()
    rows = [
        "path,label",
        *(f"../l/{name}/{n}.png,{name}" for name in ("cat", "dog") for n in (1, 2)),
    ]
    (own.root / "table" / "labels.csv").write_text("\n".join(rows))
    flags = ("--dataset=csv", f"--labels_csv={own.root}/table/labels.csv", "--image_size=16")
    with pytest.raises(ValueError, match="--allow_outside_paths permits that"):
        loaded(*flags)
    assert len(loaded(*flags, "--allow_outside_paths")[0].train) == 4


@pytest.mark.parametrize("name", ["imagenet127", "small_imagenet127_32", "cifar10"])
def test_the_folder_that_tensorflow_datasets_was_told_is_where_prepared_sets_lie(
    monkeypatch, tmp_path, name
):
    import tensorflow_datasets as tfds

    # It reads TFDS_DATA_DIR once, when it is imported.
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "told"))
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "told")):
        loaded(f"--dataset={name}")


@pytest.mark.parametrize("asked", [False, True])
def test_a_download_is_what_the_flag_asks_for(monkeypatch, tmp_path, asked):
    from drw_tf.data import tfds_images

    class Asked(Exception):
        pass

    def load(name, data_dir, image_size, download, unlabeled, flip, note):
        assert (name, data_dir, image_size, unlabeled) == ("cifar10", str(tmp_path), None, False)
        assert flip
        raise Asked(download)

    monkeypatch.setattr(tfds_images, "load", load)
    with pytest.raises(Asked, match=str(asked)):
        loaded("--dataset=cifar10", f"--data_dir={tmp_path}", *(["--download"] if asked else []))


@pytest.mark.parametrize(("words", "flips"), [([], True), (["--flip=false"], False)])
def test_whether_pictures_of_any_set_are_mirrored_can_be_said(monkeypatch, tmp_path, words, flips):
    from drw_tf.data import tfds_images

    class Asked(Exception):
        pass

    def load(*_, flip, **__):
        raise Asked(flip)

    monkeypatch.setattr(tfds_images, "load", load)
    for name in ("tfds:letters", "tfds:stl10"):
        with pytest.raises(Asked, match=str(flips)):
            loaded(f"--dataset={name}", f"--data_dir={tmp_path}", *words)
