"""The `drw-tf` command, its help and its completion."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import drw_tf
from drw_tf import command, completion, flag_table, help_text, protocols, recipes

ROOT = pathlib.Path(__file__).parents[1]


def refused(capsys, *words):
    with pytest.raises(SystemExit) as exit_:
        command.main(["drw-tf", *words])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def printed(capsys, *words):
    command.main(["drw-tf", *words])
    return capsys.readouterr().out


# Programs


def test_every_module_that_can_be_run_is_a_program():
    runnable = {
        path.stem
        for path in (ROOT / "drw_tf").glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    runnable |= {path.parent.name for path in (ROOT / "drw_tf").glob("*/__main__.py")}
    assert set(command.programs()) == runnable - {"command", "__main__"}
    assert {"train", "evaluate", "export", "predict"} <= runnable


def test_usage_has_a_line_for_each_program_and_one_for_completion(capsys):
    text = printed(capsys)
    for name, what in command.programs().items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", text, re.MULTILINE), name
    assert re.search("^  completion ", text, re.MULTILINE)
    assert printed(capsys, "--help") == text


def test_version_is_that_of_the_package(capsys):
    assert printed(capsys, "--version") == f"drw-tf {drw_tf.__version__}\n"


def test_the_words_after_the_program_are_handed_to_it(capsys):
    assert refused(capsys, "train", "--beta=2").startswith("train: --beta must be")
    assert "--workdir must be given" in refused(capsys, "evaluate")
    assert "--workdir must be given" in refused(capsys, "export", "--out=somewhere")


def test_an_unknown_program_names_the_known_ones(capsys):
    line = refused(capsys, "trian")
    assert line.startswith("drw-tf: the first word must be one of compare, ")
    assert line.endswith("got 'trian'.")


def test_the_package_itself_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "drw_tf", "--version"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == f"drw-tf {drw_tf.__version__}\n", done.stderr


def test_the_installed_command_is_this_one():
    assert 'drw-tf = "drw_tf.command:program"' in (ROOT / "pyproject.toml").read_text()


# Help


def train_help(*arguments):
    return help_text.of_program("drw_tf.train", flag_table.FLAGS, arguments)


def test_short_help_explains_the_common_flags_and_names_all_others():
    text = train_help("--help")
    explained = re.findall(r"^  --(\w+): ", text, re.MULTILINE)
    named = re.findall(r" --(\w+)(?=[ \n])", text)
    assert sorted({*explained, *named} - {"flagfile", "helpmethods"}) == sorted(flag_table.BY_NAME)
    assert {"dataset", "method", "steps", "seed"} <= set(explained)
    assert len(explained) < len(flag_table.FLAGS) / 2
    assert all(len(line) <= 100 for line in text.splitlines() if "also --" in line)


def test_full_help_explains_every_flag_with_its_default():
    text = train_help("--helpfull")
    for flag in flag_table.FLAGS:
        default = "" if flag.default is None else f" [{flag.default}]"
        assert f"\n  --{flag.name}: {flag.help}{default}\n" in text


def test_a_list_stands_in_the_help_as_it_is_typed(capsys):
    with pytest.raises(SystemExit):
        command.main(["drw-tf", "compare", "--help"])
    assert "--seeds: seeds, comma-separated [0,1,2]\n" in capsys.readouterr().out


def test_common_flags_are_flags():
    assert set(flag_table.BY_NAME) >= help_text._COMMON


@pytest.mark.parametrize("program", command.programs())
def test_every_program_has_help_that_ends_well(capsys, program):
    with pytest.raises(SystemExit) as exit_:
        command.main(["drw-tf", program, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"python -m drw_tf.{program} ")


# Completion


def completed(*words):
    """What bash offers for the last of these words, as bash splits them."""
    script = (
        f"{completion.script('bash', command.programs(), tables())}\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _drw_tf; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script, "-", *words], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def tables():
    return {program: command.flags_of(program) for program in command.programs()}


def test_bash_completes_programs():
    assert completed("drw-tf", "ev") == ["evaluate"]
    assert set(completed("drw-tf", "")) == {*command.programs(), "completion"}


def test_bash_completes_the_flags_of_the_program():
    assert completed("drw-tf", "train", "--ldam_s") == ["--ldam_scale="]
    assert completed("drw-tf", "export", "--ldam_s") == []
    assert completed("drw-tf", "export", "--ou") == ["--out="]
    assert completed("drw-tf", "compare", "--se") == ["--seeds=", "--seed="]
    assert completed("drw-tf", "train", "--nofr") == ["--nofresh"]


def test_bash_completes_the_values_of_a_flag():
    assert completed("drw-tf", "train", "--method", "=", "drw_l") == ["drw_la"]
    assert set(completed("drw-tf", "train", "--method", "=")) == set(recipes.RECIPES)
    assert set(completed("drw-tf", "train", "--dataset", "=", "")) == set(protocols.DATASETS)
    assert completed("drw-tf", "train", "--on_bad_image", "=", "s") == ["skip"]


def test_bash_completes_paths_where_nothing_is_known(tmp_path):
    (tmp_path / "run_folder").mkdir()
    found = completed("drw-tf", "evaluate", "--workdir", "=", f"{tmp_path}/run")
    assert found == [f"{tmp_path}/run_folder"]


def test_zsh_has_every_program_and_flag_and_parses():
    text = completion.script("zsh", command.programs(), tables())
    for flag in flag_table.FLAGS:
        assert f"'--{flag.name}{'' if flag.kind == 'bool' else '='}[" in text
    for name in command.programs():
        assert f"    '{name}:" in text
    if shutil.which("zsh"):
        done = subprocess.run(["zsh", "-n"], input=text, capture_output=True, text=True)
        assert done.stderr == ""


def test_a_shell_that_is_not_known_is_refused(capsys):
    assert refused(capsys, "completion", "fish").endswith("the name of a shell, bash or zsh.")
    assert refused(capsys, "completion").endswith("the name of a shell, bash or zsh.")
