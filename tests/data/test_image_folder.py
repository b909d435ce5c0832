import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from drw_tf.data import image_folder


def save(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value % 256, value // 256, 7)).save(path)


def tree(tmp_path):
    for value, name in enumerate(
        [
            "labeled/cat/2.png",
            "labeled/cat/1.jpg",
            "labeled/cat/deep/er/3.bmp",
            "labeled/dog/1.JPG",
            "unlabeled/x.png",
            "unlabeled/a/b/y.gif",
            "test/dog/t.png",
            "test/cat/t.png",
        ]
    ):
        save(tmp_path / name, value)
    return tmp_path


def load(root, *, unlabeled="unlabeled", validation=None, test="test", **options):
    return image_folder.load(
        str(root / "labeled"),
        unlabeled and str(root / unlabeled),
        validation and str(root / validation),
        test and str(root / test),
        image_size=8,
        **options,
    )


def relative(root, paths):
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]


def test_folders_become_classes_rows_and_a_split(tmp_path):
    root = tree(tmp_path)
    dataset = load(root)
    assert dataset.class_names == ("cat", "dog")
    assert relative(root, dataset.train.paths) == [
        "labeled/cat/1.jpg",
        "labeled/cat/2.png",
        "labeled/cat/deep/er/3.bmp",
        "labeled/dog/1.JPG",
        "unlabeled/a/b/y.gif",
        "unlabeled/x.png",
    ]
    np.testing.assert_array_equal(dataset.train.labels, [0, 0, 0, 1, -1, -1])
    np.testing.assert_array_equal(dataset.given_split.labeled, [0, 1, 2, 3])
    np.testing.assert_array_equal(dataset.given_split.unlabeled, [4, 5])
    assert len(dataset.given_split.validation) == 0
    assert relative(root, dataset.test.paths) == ["test/cat/t.png", "test/dog/t.png"]
    np.testing.assert_array_equal(dataset.test.labels, [0, 1])
    assert dataset.image_shape == (8, 8, 3)
    assert all(os.path.isabs(path) for path in dataset.train.paths)


def test_no_unlabeled_and_no_test_folder(tmp_path):
    dataset = load(tree(tmp_path), unlabeled=None, test=None)
    assert dataset.test is None
    assert len(dataset.given_split.unlabeled) == 0


def test_order_does_not_depend_on_how_a_machine_spells_umlauts(tmp_path):
    # "ä" in one code point, and as "a" with a combining mark: both sort behind "z".
    for number, name in enumerate(["\u00e4.png", "a\u0308b.png", "z.png", "a.png"]):
        save(tmp_path / "labeled" / "x" / name, number)
    save(tmp_path / "labeled" / "y" / "1.png")
    names = image_folder.list_pictures(str(tmp_path / "labeled" / "x")).names
    assert names == ("a.png", "z.png", "\u00e4.png", "a\u0308b.png")


def test_hidden_and_other_files_are_ignored_and_counted(tmp_path):
    root = tree(tmp_path)
    for name in (".hidden.png", "notes.txt", "more.txt", "README"):
        (root / "labeled" / "cat" / name).write_bytes(b"")
    save(root / "labeled" / ".git" / "x.png")
    notes = []
    dataset = load(root, note=notes.append)
    assert len(dataset.train) == 6
    (note,) = notes
    assert "ignored 2 hidden" in note
    assert "2 .txt" in note
    assert "1 no extension" in note


def test_pictures_already_labeled_or_in_the_test_set_do_not_count_as_unlabeled(tmp_path):
    root = tree(tmp_path)
    notes = []
    dataset = load(root, unlabeled=".", note=notes.append)
    assert relative(root, dataset.train.paths[4:]) == ["unlabeled/a/b/y.gif", "unlabeled/x.png"]
    # 4 labeled and 2 test pictures lie below the same root.
    assert any(note.startswith("left out 6 unlabeled pictures") for note in notes)


def test_links_are_followed_and_recognised_as_the_same_picture(tmp_path):
    root = tree(tmp_path)
    (root / "unlabeled" / "linked.jpg").symlink_to(root / "labeled" / "cat" / "1.jpg")
    os.link(root / "labeled" / "dog" / "1.JPG", root / "unlabeled" / "hard.jpg")
    save(tmp_path / "elsewhere" / "z.png")
    (root / "unlabeled" / "folder").symlink_to(tmp_path / "elsewhere")
    notes = []
    dataset = load(root, note=notes.append)
    assert relative(root, dataset.train.paths[4:]) == [
        "unlabeled/a/b/y.gif",
        "unlabeled/folder/z.png",
        "unlabeled/x.png",
    ]
    assert any(note.startswith("left out 2 unlabeled") for note in notes)


def test_a_folder_that_contains_itself_is_entered_once(tmp_path):
    root = tree(tmp_path)
    (root / "unlabeled" / "loop").symlink_to(root / "unlabeled")
    assert len(load(root).given_split.unlabeled) == 2


def test_a_broken_link_stays_listed_for_the_scan_to_name(tmp_path):
    root = tree(tmp_path)
    (root / "unlabeled" / "gone.png").symlink_to(root / "nowhere.png")
    assert len(load(root).given_split.unlabeled) == 3


def test_a_link_to_itself_is_one_that_is_broken(tmp_path):
    root = tree(tmp_path)
    for name in ("loop.png", "loop"):
        (root / "unlabeled" / name).symlink_to(name)
    assert len(load(root).given_split.unlabeled) == 3


@pytest.mark.parametrize("link", ["broken", "loop", "through a file"])
@pytest.mark.parametrize("part", ["labeled", "test"])
def test_a_class_folder_that_leads_nowhere_is_refused(tmp_path, part, link):
    root = tree(tmp_path)
    save(root / part / "cat" / "9.png", 99)
    target = {"broken": "gone", "loop": "bird", "through a file": "cat/9.png/x"}[link]
    (root / part / "bird").symlink_to(target)
    said = rf"--{part}_dir={root}/{part} must have a sub-folder for each class, got links that "
    with pytest.raises(ValueError, match=said + r"lead nowhere: bird; mend or remove them\.$"):
        load(root)


def test_links_that_lead_nowhere_elsewhere_are_told(tmp_path):
    root = tree(tmp_path)
    (root / "labeled" / "cat" / "more").symlink_to(root / "nowhere")
    for name in ("two", "a/one"):
        (root / "unlabeled" / name).symlink_to(root / "nowhere")
    notes = []
    assert len(load(root, note=notes.append).train) == 6
    assert notes == [
        f"--labeled_dir={root}/labeled: links that lead nowhere: cat/more.",
        f"--unlabeled_dir={root}/unlabeled: links that lead nowhere: a/one, two.",
    ]


def test_a_folder_of_links_that_lead_nowhere_alone_is_told_from_an_empty_one(tmp_path):
    root = tree(tmp_path)
    (root / "empty").mkdir()
    (root / "empty" / "disk").symlink_to(root / "nowhere")
    with pytest.raises(ValueError, match=r"it has links that lead nowhere: disk\.$"):
        load(root, unlabeled="empty")


def test_what_may_be_a_folder_and_cannot_be_looked_at_is_named(tmp_path):
    root = tree(tmp_path)
    # What may be a picture is left to the scan.
    (root / "unlabeled" / "long.png").symlink_to("x" * 300)
    assert len(load(root).given_split.unlabeled) == 3
    (root / "labeled" / "bird").symlink_to("x" * 300)
    said = r"/labeled/bird, which may be a folder, cannot be looked at: File name too long\.$"
    with pytest.raises(ValueError, match=said):
        load(root)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root = tree(tmp_path)
    entries = os.scandir

    def closed(path):
        if str(path).endswith("unlabeled/a"):
            raise PermissionError(13, "Permission denied")
        return entries(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(ValueError, match=r"the folder .*/unlabeled/a cannot be read: Permission"):
        load(root)


def test_an_ending_that_is_not_utf8_can_be_told(tmp_path):
    root = tree(tmp_path)
    pathlib.Path(os.fsdecode(bytes(root) + b"/unlabeled/x.\xff")).touch()
    notes = []
    load(root, note=notes.append)
    assert any("1 .\\udcff" in note for note in notes)


def change_missing(root):
    os.rename(root / "labeled", root / "moved")


def change_no_pictures(root):
    for name in ("x.png", "a/b/y.gif"):
        os.rename(root / "unlabeled" / name, root / "unlabeled" / (name[:-4] + ".tif"))


def change_empty_class(root):
    (root / "labeled" / "bird").mkdir()


def change_another_kind(root):
    for name in ("1.HEIC", "deep/2.heic", "notes.txt"):
        path = root / "labeled" / "owl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def change_loose(root):
    save(root / "labeled" / "loose.png")


def change_unknown_label(root):
    save(root / "test" / "bird" / "1.png")


def test_pictures_for_validation_are_in_neither_stream(tmp_path):
    root = tree(tmp_path)
    save(root / "unlabeled" / "held" / "dog" / "1.png")
    notes = []
    plain = load(root)
    dataset = load(root, validation="unlabeled/held", note=notes.append)
    (new,) = set(dataset.given_split.validation)
    assert relative(root, dataset.train.paths)[new] == "unlabeled/held/dog/1.png"
    assert dataset.train.labels[new] == 1
    # The unlabeled folder holds it, too, where it is one more unlabeled picture of the plain run.
    assert len(dataset.given_split.unlabeled) == len(plain.given_split.unlabeled) - 1
    np.testing.assert_array_equal(dataset.given_split.labeled, plain.given_split.labeled)
    assert "left out 1 unlabeled picture, labeled, for validation or in the test set as well." in (
        notes
    )
    missing = (
        f"--validation_dir={root}/unlabeled/held: the validation set has no picture of 1 class: "
    )
    assert f"{missing}cat." in notes


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("labeled/cat/1.jpg", "1 validation picture also among the labeled training pictures: "),
        ("test/cat/t.png", "1 test picture also among the pictures for validation: "),
    ],
)
def test_a_picture_for_validation_that_has_another_role_is_refused(tmp_path, other, message):
    root = tree(tmp_path)
    (root / "held" / "cat").mkdir(parents=True)
    (root / "held" / "cat" / "same.png").symlink_to(root / other)
    with pytest.raises(ValueError, match=f"--(validation|test)_dir=.*: {message}"):
        load(root, validation="held")


def change_case(root):
    save(root / "labeled" / "Cat" / "1.png")


def change_one_class(root):
    os.rename(root / "labeled" / "dog", root / "unlabeled" / "dog")


def change_test_is_labeled(root):
    (root / "test" / "cat" / "same.jpg").symlink_to(root / "labeled" / "cat" / "1.jpg")


def change_two_classes(root):
    (root / "labeled" / "dog" / "same.jpg").symlink_to(root / "labeled" / "cat" / "1.jpg")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (change_missing, FileNotFoundError, r"--labeled_dir=.*labeled is not a folder"),
        (change_no_pictures, ValueError, r"--unlabeled_dir=.* has no picture .*it has 2 \.tif"),
        (change_empty_class, ValueError, r"folders without a picture: bird \(no files\)\."),
        (change_another_kind, ValueError, r"picture: owl \((1 \.txt, )?2 \.heic(, 1 \.txt)?\)\."),
        (change_loose, ValueError, r"one sub-folder a class, got 1 directly in it: loose\.png"),
        (change_unknown_label, ValueError, r"without a labeled training picture: bird; .*cat, dog"),
        (change_case, ValueError, r"more than case or spaces, got 'Cat' and 'cat'"),
        (change_one_class, ValueError, r"--labeled_dir=.* two classes, got: cat"),
        (
            change_test_is_labeled,
            ValueError,
            r"--test_dir=.*: 1 test picture also among .*same\.jpg",
        ),
        (change_two_classes, ValueError, r"two classes: .*1\.jpg is 'cat', .*same\.jpg is 'dog'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, change, error, message):
    root = tree(tmp_path)
    change(root)
    with pytest.raises(error, match=message):
        load(root)


def test_image_size_below_one_is_refused(tmp_path):
    root = tree(tmp_path)
    with pytest.raises(ValueError, match="--image_size must be at least 1, got 0"):
        image_folder.load(str(root / "labeled"), image_size=0)


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path):
    root = tree(tmp_path)
    for name in (b"\xff.png", b"\xfe.png"):
        save(root / "labeled" / "cat" / os.fsdecode(name))
    said = (
        r"--labeled_dir=.* has 2 pictures whose names are not UTF-8: cat/\\udcfe\.png, cat/\\udcff"
    )
    with pytest.raises(ValueError, match=said):
        load(root)
    notes = []
    dataset = load(root, skip_misspelled=True, note=notes.append)
    sound = load(tree(tmp_path / "x"))
    assert relative(root, dataset.train.paths) == relative(tmp_path / "x", sound.train.paths)
    assert "left out 2 pictures whose names are not UTF-8" in notes[0]


@pytest.mark.parametrize("name", [b"bird/\xff%d.png", b"bird\xff/%d.png"])
def test_a_class_whose_names_are_all_not_utf8_is_refused_with_that_reason(tmp_path, name):
    root = tree(tmp_path)
    for number in (1, 2):
        save(root / "labeled" / os.fsdecode(name % number))
    said = r"without a picture: bird(\\udcff)? \(2 pictures whose names are not UTF-8\)\.$"
    with pytest.raises(ValueError, match=said):
        load(root, skip_misspelled=True)


@pytest.mark.parametrize("place", ["labeled", "labeled/none", "test/none", "validation/none"])
def test_unlabeled_pictures_in_a_folder_of_classes_are_refused(tmp_path, place):
    root = tree(tmp_path)
    save(root / "validation" / "cat" / "1.png", 9)
    flag = place.split("/")[0]
    if place != flag:
        os.rename(root / "unlabeled", root / place)
    with pytest.raises(ValueError, match=rf"--unlabeled_dir must lie outside --{flag}_dir="):
        load(root, unlabeled=place, validation="validation")


def test_kinds_of_other_files_are_sorted(tmp_path):
    root = tree(tmp_path)
    kinds = "gfedcba"
    for kind in kinds:
        (root / "unlabeled" / f"1.{kind}").touch()
    notes = []
    load(root, note=notes.append)
    (note,) = (note for note in notes if "other files" in note)
    assert ", ".join(f"1 .{kind}" for kind in sorted(kinds)) in note


def test_nothing_is_written(tmp_path):
    root = tree(tmp_path)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
    load(root)
    assert before == sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def test_two_links_to_one_folder_are_both_seen(tmp_path):
    root = tree(tmp_path)
    save(tmp_path / "store" / "p.png", 3)
    (root / "unlabeled" / "one").symlink_to(tmp_path / "store")
    (root / "unlabeled" / "two").symlink_to(tmp_path / "store")
    listing = image_folder.list_pictures(str(root / "unlabeled"))
    assert {"one/p.png", "two/p.png"} <= set(listing.names)
    notes = []
    load(root, note=notes.append)
    assert any("left out 1 unlabeled picture, listed twice" in note for note in notes)
    (root / "labeled" / "puppy").symlink_to(root / "labeled" / "dog")
    with pytest.raises(ValueError, match="one picture has two classes"):
        load(root)


def test_folders_that_lead_into_each_other_end(tmp_path):
    save(tmp_path / "a" / "x.png")
    save(tmp_path / "b" / "y.png")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    listing = image_folder.list_pictures(str(tmp_path))
    assert set(listing.names) == {
        *("a/x.png", "a/to_b/y.png"),
        *("b/y.png", "b/to_a/x.png"),
    }


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (
            ("dog", "NA"),
            ["took as a class 'NA' (1 picture); where nobody knows the class, give its"],
        ),
        (
            ("train", "Test"),
            ["took as classes Test, train, which look like the parts of a data set"],
        ),
        (
            ("all", "labeled", "test"),
            ["took as classes all, labeled, test, which look like the parts of a data set"],
        ),
        (
            ("labelled", "unlabelled"),
            [
                "took as a class 'unlabelled' (1 picture); where nobody knows",
                "took as classes labelled, unlabelled, which look like the parts of a data set",
            ],
        ),
        (("dog", "test"), []),
    ],
)
def test_folders_that_look_like_no_class_are_told(tmp_path, classes, said):
    for name in classes:
        (tmp_path / name).mkdir()
        Image.new("RGB", (3, 3)).save(tmp_path / name / "1.png")
    notes = []
    image_folder.load(str(tmp_path), image_size=8, note=notes.append)
    assert len(notes) == len(said)
    for note, begin in zip(notes, said, strict=True):
        assert note.startswith(f"--labeled_dir={tmp_path}: {begin}")
