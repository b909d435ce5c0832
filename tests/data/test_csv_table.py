import pathlib
import unicodedata

import numpy as np
import pytest
from PIL import Image

from drw_tf.data import csv_table


def table(tmp_path, text, names=("1.png", "2.png", "3.png", "4.png"), encoding="utf-8"):
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (3, 3)).save(folder / name)
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def load(path, **options):
    return csv_table.load(path, image_size=8, **options)


def names(paths):
    return [path.rsplit("/", 1)[1] for path in paths]


def test_rows_become_labeled_unlabeled_and_test_pictures(tmp_path):
    text = "path,label,split\n3.png,dog,\n1.png,cat,train\n2.png,,\n4.png,cat,test\n"
    dataset = load(table(tmp_path, text))
    assert dataset.class_names == ("cat", "dog")
    assert names(dataset.train.paths) == ["3.png", "1.png", "2.png"]
    np.testing.assert_array_equal(dataset.train.labels, [1, 0, -1])
    np.testing.assert_array_equal(dataset.given_split.labeled, [0, 1])
    np.testing.assert_array_equal(dataset.given_split.unlabeled, [2])
    assert names(dataset.test.paths) == ["4.png"]
    np.testing.assert_array_equal(dataset.test.labels, [0])


def test_pictures_for_validation_are_training_rows_in_neither_stream(tmp_path):
    text = "path,label,split\n4.png,cat,Validation\n3.png,dog,\n1.png,cat,train\n2.png,,\n"
    path = table(tmp_path, text)
    dataset = load(path)
    assert names(dataset.train.paths) == ["3.png", "1.png", "2.png", "4.png"]
    np.testing.assert_array_equal(dataset.train.labels, [1, 0, -1, 0])
    split = dataset.given_split
    assert [part.tolist() for part in (split.labeled, split.unlabeled, split.validation)] == [
        [0, 1],
        [2],
        [3],
    ]
    assert dataset.test is None
    assert csv_table.has_split("validation", path)
    plain = table(tmp_path, "path,label\n1.png,cat\n2.png,dog\n")
    assert not csv_table.has_split("validation", plain)


def test_without_a_split_column_there_is_no_test_set(tmp_path):
    dataset = load(table(tmp_path, "path,label\n1.png,cat\n2.png,dog\n3.png,\n"))
    assert dataset.test is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_line_ends_quotes_spaces_and_other_scripts(tmp_path, encoding):
    text = ' Path , LABEL \r\n"a, b.png","grün"\r\n\r\n"say ""x"".png", 猫 \r\n'
    path = table(tmp_path, text, names=("a, b.png", 'say "x".png'), encoding=encoding)
    dataset = load(path)
    assert dataset.class_names == ("grün", "猫")
    assert names(dataset.train.paths) == ["a, b.png", 'say "x".png']


def test_labels_are_text_even_where_they_look_like_numbers(tmp_path):
    dataset = load(table(tmp_path, "path,label\n1.png,10\n2.png,9\n3.png,09\n"))
    assert dataset.class_names == ("09", "10", "9")


def test_other_columns_are_ignored_and_named(tmp_path):
    notes = []
    text = ",id,path,label\n0,7,1.png,cat\n1,8,2.png,dog\n"
    dataset = load(table(tmp_path, text), note=notes.append)
    assert len(dataset.train) == 2
    assert notes[0].endswith(": ignored the columns id, 1 without a name.")


def test_rows_and_columns_that_a_spreadsheet_left_empty_are_passed_over(tmp_path):
    notes = []
    text = "path,label,,\n1.png,cat,,\n,,,\n2.png,dog,,\n , ,,\n"
    dataset = load(table(tmp_path, text), note=notes.append)
    assert [pathlib.Path(path).name for path in dataset.train.paths] == ["1.png", "2.png"]
    assert notes[0].endswith(": ignored the columns 2 without a name.")


def test_empty_cells_that_end_a_row_may_be_left_out(tmp_path):
    rows = csv_table.read(table(tmp_path, "path,label,split\n1.png,a\n2.png,b,\n3.png\n"))
    found = [(pathlib.Path(row.path).name, row.label, row.split) for row in rows]
    assert found == [("1.png", "a", "train"), ("2.png", "b", "train"), ("3.png", "", "train")]


def test_a_row_of_a_path_alone_may_have_the_mark_of_another_separator_in_it(tmp_path):
    text = "path,label\n1.png,a\n2.png,b\n3;4.png\n"
    dataset = load(table(tmp_path, text, names=("1.png", "2.png", "3;4.png")))
    assert names(dataset.train.paths) == ["1.png", "2.png", "3;4.png"]


@pytest.mark.parametrize(("on_disk", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_letter_with_a_mark_is_found_however_the_name_writes_it(tmp_path, on_disk, written):
    folder, picture = (unicodedata.normalize(on_disk, one) for one in ("Möwen", "Tür.png"))
    (tmp_path / "data" / folder).mkdir(parents=True)
    table(tmp_path, "")
    (tmp_path / "data" / "1.png").rename(tmp_path / "data" / folder / picture)
    named = unicodedata.normalize(written, "Möwen/Tür.png")
    dataset = load(table(tmp_path, f"path,label\n{named},cat\n2.png,dog\n"))
    assert dataset.train.paths[0] == str(tmp_path / "data" / folder / picture)


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("forms", [("NFC", "NFC", "NFD"), ("NFD", "NFC", "NFC")])
def test_folders_and_files_may_be_spelled_each_in_a_way_of_its_own(tmp_path, forms, written):
    parts = ("jürgen", "Möwen", "Tür.png")
    above, folder, picture = map(unicodedata.normalize, forms, parts)
    root = tmp_path / above
    root.mkdir()
    path = table(
        root, f"path,label\n{unicodedata.normalize(written, 'Möwen/Tür.png')},cat\n2.png,b\n"
    )
    (root / "data" / folder).mkdir()
    (root / "data" / "1.png").rename(root / "data" / folder / picture)
    assert load(path).train.paths[0] == str(root / "data" / folder / picture)


@pytest.mark.parametrize(
    "written", [" 1.png", "1.png  ", "\t1.png ", "{folder}/1.png ", " Tür.png "]
)
def test_blanks_around_a_path_are_no_part_of_it(tmp_path, written):
    on_disk = unicodedata.normalize("NFD", written.strip())
    table(tmp_path, "", names=("2.png", on_disk.rpartition("/")[2]))
    written = written.format(folder=tmp_path / "data")
    dataset = load(table(tmp_path, f"path,label\n{written},cat\n2.png,dog\n"))
    assert dataset.train.paths[0] == f"{tmp_path}/data/{on_disk.rpartition('/')[2]}"


def test_a_file_whose_name_has_blanks_is_taken_before_one_without(tmp_path):
    text = "path,label\n1.png ,cat\n1.png,dog\n"
    path = table(tmp_path, text)
    (tmp_path / "data" / "1.png ").write_bytes((tmp_path / "data" / "2.png").read_bytes())
    dataset = load(path)
    assert names(dataset.train.paths) == ["1.png ", "1.png"]
    assert dataset.class_names == ("cat", "dog")


def test_blanks_lead_nowhere_else(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "out.png")
    with pytest.raises(ValueError, match=r"line 2: .*out\.png.* leads out of the table's folder"):
        load(table(tmp_path, f"path,label\n {tmp_path}/out.png,cat\n1.png,dog\n"))
    for nowhere in ("9.png ", " "):
        with pytest.raises(FileNotFoundError, match=r"1 missing file: line 2: .*/data/(9\.png)? ;"):
            load(table(tmp_path, f"path,label\n{nowhere},cat\n1.png,dog\n"))


@pytest.mark.parametrize(
    "label",
    [
        "nan",
        "NaN",
        "None",
        "NULL",
        "unlabeled",
        "Unlabelled",
        "unknown",
        "?",
        "-",
        "NA",
        "N/A",
        "-1",
    ],
)
def test_a_label_that_looks_like_none_is_a_class_and_told(tmp_path, label):
    notes = []
    text = f"path,label\n1.png,{label}\n2.png,dog\n3.png, {label} \n4.png,\n"
    dataset = load(table(tmp_path, text), note=notes.append)
    assert set(dataset.class_names) == {label, "dog"}
    assert notes == [
        f"--labels_csv={tmp_path}/data/labels.csv: took as a class {label!r} (2 pictures); where "
        "nobody knows the class, leave the label empty."
    ]


def test_labels_that_only_begin_like_none_are_not_told(tmp_path):
    notes = []
    text = "path,label\n1.png,nonesuch\n2.png,unknown bird\n3.png,\n4.png,--\n"
    load(table(tmp_path, text), note=notes.append)
    assert notes == []


def test_absolute_paths_below_the_folder_are_allowed(tmp_path):
    inside = tmp_path / "data" / "1.png"
    dataset = load(table(tmp_path, f"path,label\n{inside},cat\n2.png,dog\n"))
    assert dataset.train.paths[0] == str(inside)


@pytest.mark.parametrize("outside", ["../out.png", "{root}/out.png", "x/../../out.png"])
def test_paths_out_of_the_folder_need_permission(tmp_path, outside):
    Image.new("RGB", (3, 3)).save(tmp_path / "out.png")
    outside = outside.format(root=tmp_path)
    path = table(tmp_path, f"path,label\n1.png,cat\n{outside},dog\n")
    with pytest.raises(ValueError, match=r"line 3: .*out\.png leads out .*--allow_outside_paths"):
        load(path)
    assert len(load(path, allow_outside=True).train) == 2


@pytest.mark.parametrize("link", ["folder", "picture"])
def test_links_out_of_the_folder_need_permission(tmp_path, link):
    path = table(tmp_path, "path,label\n1.png,cat\nlinked/out.png,dog\n")
    folder, outside = pathlib.Path(path).parent, tmp_path / "outside"
    outside.mkdir()
    (outside / "out.png").write_bytes((folder / "1.png").read_bytes())
    if link == "folder":
        (folder / "linked").symlink_to(outside)
    else:
        (folder / "linked").mkdir()
        (folder / "linked" / "out.png").symlink_to(outside / "out.png")
    with pytest.raises(ValueError, match=r"line 3: .*out\.png leads out .*--allow_outside_paths"):
        load(path)
    assert len(load(path, allow_outside=True).train) == 2


def test_a_linked_folder_with_its_own_pictures_needs_none(tmp_path):
    path = pathlib.Path(table(tmp_path, "path,label\n1.png,cat\n2.png,dog\n"))
    (tmp_path / "elsewhere").symlink_to(path.parent)
    assert len(load(str(tmp_path / "elsewhere" / path.name)).train) == 2


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ValueError, r"names the columns path and label.*got \[\]"),
        (
            "path;label\n1.png;cat\n",
            ValueError,
            r"commas.*got \['path;label'\]; it is separated by ;\.",
        ),
        ("path\tlabel\n1.png\tcat\n", ValueError, r"'path\\tlabel'\]; it is separated by tabs\."),
        ("1.png,cat\n2.png,dog\n", ValueError, r"got \['1\.png', 'cat'\]"),
        ("path,label,path\n", ValueError, r"must name a column once, got path twice"),
        ("path,label\n", ValueError, r"no rows below its header"),
        ("path,label\n1.png;a\n", ValueError, r"line 2 must have 2 columns, got 1; .* by ;\."),
        ("path,label\n1.png\ta\n", ValueError, r"line 2 must have 2 columns, got 1; .* by tabs\."),
        ("path,label\n1.png,cat,\n", ValueError, r"line 2 must have 2 columns, got 3"),
        ('path,label\n"1.png,cat\n', ValueError, r"line 2: unexpected end of data"),
        ("path,label\n,cat\n", ValueError, r"line 2: the path is empty"),
        ("label,path\ncat\n", ValueError, r"line 2: the path is empty"),
        (
            "path,label\n1.png,cat\n2.pngdog\n",
            FileNotFoundError,
            r"1 missing file: line 3: .*2\.pngdog; ",
        ),
        ("path,label\n1\0.png,cat\n", ValueError, r"line 2: a path cannot hold the byte 0|NUL"),
        ("path,label\n1.png,a\n1.png,b\n", ValueError, r"1\.png twice, in lines 2 and 3"),
        ("path,label\n1.png,a\n2.png,A\n", ValueError, r"case or spaces, got 'A' and 'a'"),
        ("path,label\n1.png,a\n2.png,a\n", ValueError, r"labels\.csv must have .* classes, got: a"),
        ("path,label\n1.png,\n", ValueError, r"--labels_csv=.* two classes, got: none\."),
        ("path,label,split\n1.png,a,test\n", ValueError, r"labeled training pictures of .* none\."),
        (
            "path,label\n1.png,a\nx\\2.png,b\n",
            FileNotFoundError,
            r"1 missing file: line 3: .*x\\2\.png; write / in place of \\ in paths\.",
        ),
        ('path,label\n1.png,a\n2.png,"b\nc"\n', ValueError, r"csv: .* one line each, got 'b\\nc'"),
        ("path,label,split\n1.png,a,val\n", ValueError, r"train, validation or test, got 'val'"),
        ("path,label,split\n1.png,,test\n", ValueError, r"test split must have a label"),
        ("path,label,split\n1.png,,validation\n", ValueError, r"validation split must have a"),
        (
            "path,label,split\n1.png,a,\n2.png,b,\n3.png,c,test\n",
            ValueError,
            r"without a labeled training picture: c",
        ),
        (
            "path,label\n1.png,a\nno.png,b\nnot.png,b\n",
            FileNotFoundError,
            r"2 missing files: line 3: .*no\.png; line 4: .*not\.png; --on_bad_image=skip leaves",
        ),
    ],
)
def test_a_table_of_another_form_is_refused_with_its_line(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        load(table(tmp_path, text))


def test_only_the_first_ten_missing_files_are_named(tmp_path):
    rows = "".join(f"gone{row:02d}.png,a\n" for row in range(12))
    with pytest.raises(FileNotFoundError, match=r"12 missing files: .*gone09\.png; and 2 more"):
        load(table(tmp_path, "path,label\n" + rows))


def test_missing_files_may_be_left_to_the_scan(tmp_path):
    path = table(tmp_path, "path,label\n1.png,a\nno.png,b\n")
    assert names(load(path, allow_missing=True).train.paths) == ["1.png", "no.png"]


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        # Of three rows one is there with / .
        ("path,label\n1.png,a\n2.png,b\nx\\3.png,b\n", True),
        # Two of three are so, though none is there with / either.
        ("path,label\n1.png,a\nC:\\y\\2.png,b\nC:\\y\\3.png,b\n", True),
        ("path,label\n1.png,a\n2.png,b\nx\\9.png,b\n", False),
    ],
)
def test_paths_of_windows_are_told_though_files_may_be_missing(tmp_path, text, is_refused):
    (tmp_path / "data" / "x").mkdir(parents=True)
    path = table(tmp_path, text, names=("1.png", "2.png", "x/3.png"))
    said = r"missing files?: line .*\\.*; write / in place of \\ in paths\.$"
    with pytest.raises(FileNotFoundError, match=said):
        load(path)
    if is_refused:
        with pytest.raises(FileNotFoundError, match=said):
            load(path, allow_missing=True)
    else:
        assert len(load(path, allow_missing=True).train) == 3


def test_another_encoding_is_refused(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        path = table(tmp_path, "path,label\n1.png,grün\n", encoding=encoding)
        with pytest.raises(ValueError, match=r"must be UTF-8: .*; save it as CSV UTF-8"):
            load(path)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--labels_csv=.*none\.csv is not a file"):
        load(str(tmp_path / "none.csv"))
