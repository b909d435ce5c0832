import os
import signal
import subprocess
import sys

import pytest

from drw_tf.serving import folders


def write(target, text, error=None):
    with folders.Replacement(target) as unfinished:
        (unfinished / "saved_model.pb").write_text(text)
        (unfinished / folders.MARKER).parent.mkdir()
        (unfinished / folders.MARKER).write_text("{}")
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
    assert names(target) == ["assets", "saved_model.pb"]
    assert (target / "saved_model.pb").read_text() == "new"
    assert names(tmp_path) == ["export"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    disk, runs = tmp_path / "disk", tmp_path / "runs"
    runs.mkdir()
    (runs / "export").symlink_to("../disk/model")
    for text in ("first", "second", "third"):  # the first makes the folder
        write(runs / "export", text)
        assert os.readlink(runs / "export") == "../disk/model"
        assert (disk / "model" / "saved_model.pb").read_text() == text
        assert (names(runs), names(disk)) == (["export"], ["model"])
    with pytest.raises(KeyError):
        write(runs / "export", "fourth", KeyError("other"))
    assert (disk / "model" / "saved_model.pb").read_text() == "third"


@pytest.mark.parametrize("leads_to", ["model", "gone"])
def test_a_link_that_was_moved_aside_is_removed_and_what_it_leads_to_stays(tmp_path, leads_to):
    write(tmp_path / "model", "linked")
    write(tmp_path / "export", "old")
    (tmp_path / ".export.unfinished").mkdir()
    (tmp_path / ".export.unfinished" / "old").symlink_to(tmp_path / leads_to)
    for text in ("new", "newer"):
        write(tmp_path / "export", text)
        assert (tmp_path / "export" / "saved_model.pb").read_text() == text
    assert (tmp_path / "model" / "saved_model.pb").read_text() == "linked"
    assert names(tmp_path) == ["export", "model"]


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


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("part", ["old", "new"])
def test_a_signal_between_the_renames_leaves_one_export(tmp_path, monkeypatch, moment, part):
    target = tmp_path / "export"
    write(target, "old")
    rename, came = folders.os.rename, []

    def interrupted(source, destination):
        hit = not came and part in (os.path.basename(source), os.path.basename(destination))
        if hit and moment == "before":
            came.append(True)
            raise KeyboardInterrupt
        rename(source, destination)
        if hit:
            came.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(folders.os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(target, "new")
    expected = "new" if (part, moment) == ("new", "after") else "old"
    assert (target / "saved_model.pb").read_text() == expected
    assert names(tmp_path) == ["export"]


KILLED = """
import os, signal, sys, types
# It takes seconds to import, and the errors that are its own do not come here.
sys.modules["tensorflow"] = types.SimpleNamespace()
from drw_tf.serving import folders
target, renames = sys.argv[1], int(sys.argv[2])
rename = os.rename
def counted(*paths):
    global renames
    if not renames:
        os.kill(os.getpid(), signal.SIGKILL)
    renames -= 1
    rename(*paths)
folders.os.rename = counted
with folders.Replacement(target) as unfinished:
    (unfinished / "saved_model.pb").write_text("killed")
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_the_next_export_settles_what_a_killed_one_left(tmp_path, renames):
    target = tmp_path / "export"
    write(target, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(target), str(renames)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.exists() == (renames == 0)
    assert names(tmp_path)[0] == ".export.unfinished"
    # Of another target in this folder it is left alone.
    write(tmp_path / "export.unfinished", "other")
    write(tmp_path / "exp", "other")
    assert target.exists() == (renames == 0)
    with pytest.raises(KeyError):
        write(target, "new", KeyError("other"))
    assert (target / "saved_model.pb").read_text() == "old"
    assert names(tmp_path) == ["exp", "export", "export.unfinished"]


def test_two_exports_in_one_folder_do_not_disturb_each_other(tmp_path):
    with folders.Replacement(tmp_path / "a") as one:
        (one / "saved_model.pb").write_text("a")
        with folders.Replacement(tmp_path / "b") as other:
            (other / "saved_model.pb").write_text("b")
        # Nor is one that is being written taken for a leftover.
        with pytest.raises(folders.ExportError, match="is being written by another process"):
            write(tmp_path / "a", "another")
    assert [(tmp_path / name / "saved_model.pb").read_text() for name in "ab"] == ["a", "b"]
    assert names(tmp_path) == ["a", "b"]


def test_what_others_keep_beside_stays(tmp_path):
    beside = tmp_path / ".export.unfinished"
    beside.mkdir()
    (beside / "thesis.txt").write_text("years of work")
    write(tmp_path / "export", "new")
    assert names(beside) == ["thesis.txt"]


def test_an_export_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "rename"):
        before = getattr(folders.os, name)

        def noted(*words, name=name, before=before):
            if name == "fsync":
                done.append(os.path.basename(os.readlink(f"/proc/self/fd/{words[0]}")))
            else:
                done.append(f"{os.path.basename(words[0])} renamed")
            before(*words)

        monkeypatch.setattr(folders.os, name, noted)
    with folders.Replacement(tmp_path / "export") as unfinished:
        (unfinished / "variables").mkdir()
        (unfinished / "variables" / "variables.index").write_text("new")
    assert sorted(done[:3]) == ["new", "variables", "variables.index"]
    assert done[3:] == ["new renamed", tmp_path.name]


def test_what_is_no_export_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(folders.ExportError, match=r"an earlier export, it has thesis.txt in it"):
        write(tmp_path, "new")
    with pytest.raises(folders.ExportError, match="must be a folder, it is a file"):
        write(tmp_path / "thesis.txt", "new")
    with pytest.raises(folders.ExportError, match="cannot be written: File exists"):
        write(tmp_path / "thesis.txt" / "export", "new")
    assert names(tmp_path) == ["thesis.txt"]


def test_the_model_of_another_program_is_not_overwritten(tmp_path):
    target = tmp_path / "export"
    for part in ("assets", "variables"):
        (target / part).mkdir(parents=True)
    for name in ("saved_model.pb", "fingerprint.pb", "assets/vocabulary.txt"):
        (target / name).write_text("years of work")
    before = sorted(target.rglob("*"))
    with pytest.raises(
        folders.ExportError, match=r"an earlier export, it has no assets/serving\.j"
    ):
        write(target, "new")
    assert sorted(target.rglob("*")) == before
    assert (target / "saved_model.pb").read_text() == "years of work"
    assert names(tmp_path) == ["export"]


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    (tmp_path / "export").mkdir()
    write(tmp_path / "export", "new")
    assert (tmp_path / "export" / "saved_model.pb").read_text() == "new"
