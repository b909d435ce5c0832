"""Where reports may be written: nothing but an earlier report of the same kind is replaced."""

import pytest

from drw_tf import config as configuration
from drw_tf import data_report, output_folder
from drw_tf.report import __main__ as report


def checked(folder):
    return output_folder.check(str(folder), "page.md", "# report of .*", ["a.png"])


@pytest.mark.parametrize("name", ["a.png", "page.md"])
def test_somebody_elses_file_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(configuration.ConfigError, match=f"earlier report.* {tmp_path}/{name} is s"):
        checked(tmp_path)


def test_an_earlier_report_is_replaced_and_other_files_do_not_matter(tmp_path):
    (tmp_path / "notes.txt").write_text("mine\n")
    assert checked(tmp_path) == tmp_path
    (tmp_path / "page.md").write_text("# report of yesterday\n\nmore\n")
    (tmp_path / "a.png").write_bytes(b"")
    assert checked(tmp_path) == tmp_path


def test_a_folder_is_looked_at_before_it_is_made(tmp_path):
    assert checked(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(configuration.ConfigError, match=r"--out=/proc/x cannot be written: /proc:"):
        checked("/proc/x")
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", ""):
        with pytest.raises(configuration.ConfigError, match="--out must be a folder, got"):
            checked(wrong)
    with pytest.raises(configuration.ConfigError, match=r"file/x cannot be written: .*/file: Not "):
        checked(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("program", "words", "name"),
    [
        (data_report.main, ["--dataset=digits"], "samples.png"),
        (report.main, ["results/digits"], "report.md"),
    ],
)
def test_programs_leave_what_is_not_theirs(tmp_path, capsys, program, words, name):
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(SystemExit) as exit_:
        program(["program", *words, f"--out={tmp_path}"])
    assert exit_.value.code == 2
    assert f"{tmp_path / name} is something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine\n"
