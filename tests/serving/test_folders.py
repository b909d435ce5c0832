import pytest

from drw_tf.serving import folders


def write(target, text, error=None):
    with folders.Replacement(target) as unfinished:
        (unfinished / "saved_model.pb").write_text(text)
        if error:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "export"
    with folders.Replacement(target) as unfinished:
        (unfinished / "saved_model.pb").write_text("new")
        assert not target.exists()
    assert (target / "saved_model.pb").read_text() == "new"
    assert names(target.parent) == ["export"]


def test_an_earlier_export_is_replaced_whole(tmp_path):
    target = tmp_path / "export"
    write(target, "old")
    (target / "ema.keras").write_text("old")
    write(target, "new")
    assert names(target) == ["saved_model.pb"]
    assert (target / "saved_model.pb").read_text() == "new"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("other")])
def test_after_an_error_the_earlier_export_is_as_it_was(tmp_path, error):
    target = tmp_path / "export"
    write(target, "old")
    expected = folders.ExportError if isinstance(error, OSError) else KeyError
    with pytest.raises(expected, match=r"No space left|other"):
        write(target, "new", error)
    assert (target / "saved_model.pb").read_text() == "old"
    assert names(tmp_path) == ["export"]


def test_a_failing_rename_puts_the_earlier_export_back(tmp_path, monkeypatch):
    target = tmp_path / "export"
    write(target, "old")
    rename = folders.os.rename

    def failing(source, destination):
        if str(source).endswith("new"):
            raise OSError(5, "Input/output error")
        rename(source, destination)

    monkeypatch.setattr(folders.os, "rename", failing)
    with pytest.raises(folders.ExportError, match=r"was not written: .*Input/output error"):
        write(target, "new")
    assert (target / "saved_model.pb").read_text() == "old"


def test_what_is_no_export_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(folders.ExportError, match=r"an earlier export, it has thesis.txt in it"):
        write(tmp_path, "new")
    with pytest.raises(folders.ExportError, match="must be a folder, it is a file"):
        write(tmp_path / "thesis.txt", "new")
    with pytest.raises(folders.ExportError, match="cannot be written: File exists"):
        write(tmp_path / "thesis.txt" / "export", "new")
    assert names(tmp_path) == ["thesis.txt"]
