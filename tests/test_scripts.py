"""The shell scripts, as far as that is cheap: nothing is installed or trained here."""

import fcntl
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
# What environment.sh calls besides Python.
TOOLS = ("bash", "cat", "cksum", "dirname", "flock", "mkdir", "rm", "touch")


def run(*command, **kwargs):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


@pytest.fixture
def checkout(tmp_path):
    """What environment.sh needs of a checkout, in a folder with a space in its name."""
    root = tmp_path / "a checkout"
    (root / "tests").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("*.py"))
    for name in ("requirements.txt", "tests/requirements.txt"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def machine(tmp_path):
    """machine(python3): variables of a machine whose only Python is that shell script."""

    def make(python3):
        programs = tmp_path / "programs"
        programs.mkdir()
        for tool in TOOLS:
            (programs / tool).symlink_to(shutil.which(tool))
        (programs / "python3").write_text(f"#!{shutil.which('bash')}\n{python3}\n")
        (programs / "python3").chmod(0o755)
        return {"PATH": str(programs), "HOME": str(tmp_path / "home")}

    return make


def prepare(checkout, *arguments, **kwargs):
    return run("bash", str(checkout / "scripts" / "environment.sh"), *arguments, **kwargs)


def make_ready(checkout):
    """An environment that looks complete: this Python, and the stamps of what is installed."""
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    python = f'#!{shutil.which("bash")}\necho "$@" >>"{checkout}/calls"\n'
    python += f'[[ "$2" != pip ]] || exit 0\nexec {shlex.quote(sys.executable)} "$@"\n'
    (venv / "bin" / "python").write_text(python)
    (venv / "bin" / "python").chmod(0o755)
    (venv / "drw_tf").write_text(f"{checkout}\n")
    return venv


def pip_calls(checkout):
    """What pip was asked for since the last look."""
    calls = checkout / "calls"
    found = re.findall(r"-m pip (.*)", calls.read_text()) if calls.exists() else []
    calls.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_parses_stops_at_errors_and_may_be_executed(script):
    assert run("bash", "-n", str(script)).stderr == ""
    assert "\nset -euo pipefail\n" in script.read_text()
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("name", ["environment.sh", "quickstart.sh"])
@pytest.mark.parametrize("argument", ["--nonsense", "stray", "--python", "--python="])
def test_unknown_option_is_refused_with_code_2(name, argument):
    got = run("bash", str(ROOT / "scripts" / name), argument)
    assert got.returncode == 2
    assert got.stdout == ""
    assert got.stderr.startswith(f"{name}: unknown option {argument}\nusage: scripts/{name} ")


@pytest.mark.parametrize("name", ["environment.sh", "quickstart.sh", "test.sh"])
def test_help_names_every_option_that_is_read(name):
    script = ROOT / "scripts" / name
    got = run("bash", str(script), "--help")
    assert got.returncode == 0
    for option in re.findall(r"^    (--\w+)", script.read_text(), re.MULTILINE):
        assert option in got.stdout


@pytest.mark.parametrize("name", ["environment.sh", "quickstart.sh", "test.sh"])
def test_python_that_does_not_run_is_refused_by_name(name, checkout):
    script = checkout / "scripts" / name
    got = run("bash", str(script), "--python=./no python", cwd=checkout.parent)
    assert got.returncode == 1
    assert "--python must be a 64-bit Python 3.10 or 3.11" in got.stderr
    assert got.stderr.endswith(f"got {checkout.parent}/./no python.\n")
    assert not (checkout / ".venv").exists()


def test_machine_without_a_fitting_python_is_told_what_to_install(checkout, machine):
    # The shim of a version that is not installed exists, and fails.
    got = prepare(checkout, env=machine("echo 'version not installed' >&2\nexit 127"))
    assert got.returncode == 1
    assert got.stderr.splitlines()[-1].startswith(
        "environment: install Python 3.11 with its venv module"
    )
    assert not (checkout / ".venv").exists()


def test_python_that_uv_brings_is_used_where_there_is_none(checkout, machine):
    variables = machine("exit 127")
    bash = shutil.which("bash")
    # Stands for the downloaded Python: fits, and stops with 9 when it is to make .venv.
    python = f'#!{bash}\\n[[ "$1" != -m ]] || exit 9\\necho Python 3.11.0\\n'
    uv = f"""#!{bash}
[[ "$*" == "python install --no-progress 3.11" ]] || exit 8
mkdir -p "$UV_PYTHON_INSTALL_DIR/cpython-3.11.0/bin"
printf '{python}' >"$UV_PYTHON_INSTALL_DIR/cpython-3.11.0/bin/python3.11"
chmod +x "$UV_PYTHON_INSTALL_DIR/cpython-3.11.0/bin/python3.11"
"""
    programs = pathlib.Path(variables["PATH"])
    (programs / "uv").write_text(uv)
    (programs / "uv").chmod(0o755)
    (programs / "chmod").symlink_to(shutil.which("chmod"))
    got = prepare(checkout, env=variables)
    assert got.returncode == 9, got.stderr
    assert f"{checkout}/.uv/python/cpython-3.11.0/bin/python3.11" in got.stdout
    assert not (pathlib.Path(variables["HOME"])).exists()


def test_environment_of_somebody_else_is_left_alone(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "mine").touch()
    got = prepare(checkout)
    assert got.returncode == 1
    assert f"{checkout}/.venv was not made by this script" in got.stderr
    assert (checkout / ".venv" / "mine").exists()


def test_packages_are_installed_once_and_again_when_the_list_changes(checkout):
    make_ready(checkout)
    once = ["install --quiet --requirement requirements.txt", "check"]
    dev = ["install --quiet --requirement tests/requirements.txt", "check"]
    for arguments, expected in (((), once), ((), []), (("--dev",), dev), (("--dev",), [])):
        assert prepare(checkout, *arguments).returncode == 0
        assert pip_calls(checkout) == expected
    with (checkout / "requirements.txt").open("a") as file:
        file.write("more==1.0\n")
    assert prepare(checkout, "--dev").returncode == 0
    assert pip_calls(checkout) == once + dev


def test_package_is_found_from_any_folder(checkout):
    # By a line of the environment itself, not of the one that its Python stands for here.
    used = pathlib.Path(sysconfig.get_path("purelib"), "drw_tf_checkout.pth")
    before = used.read_text() if used.exists() else None
    packages = make_ready(checkout) / "lib" / "python3.11" / "site-packages"
    assert prepare(checkout).returncode == 0
    (link,) = packages.iterdir()
    assert (link.suffix, link.read_text()) == (".pth", f"{checkout}\n")
    assert (used.read_text() if used.exists() else None) == before


def test_an_environment_stays_when_its_folder_is_reached_by_a_link(checkout, tmp_path):
    venv = make_ready(checkout)
    assert prepare(checkout).returncode == 0
    pip_calls(checkout)
    link = tmp_path / "link"
    link.symlink_to(checkout)
    assert prepare(link).returncode == 0
    (venv / "drw_tf").write_text(f"{link}\n")  # as one of an earlier version was made
    assert prepare(checkout).returncode == 0
    assert pip_calls(checkout) == []


def test_a_second_one_waits_for_the_first(checkout):
    make_ready(checkout)
    command = ["bash", checkout / "scripts" / "environment.sh"]
    with (checkout / ".environment.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert second.stdout.readline().endswith(f"another one is at work in {checkout}, waiting\n")
        assert pip_calls(checkout) == []
    assert "ready" in second.communicate(timeout=60)[0]
    assert second.returncode == 0
    assert pip_calls(checkout) != []


def test_a_machine_without_locks_needs_none(checkout, machine):
    make_ready(checkout)
    variables = machine(f'exec {shlex.quote(sys.executable)} "$@"')
    os.remove(os.path.join(variables["PATH"], "flock"))
    got = prepare(checkout, env=variables)
    assert got.returncode == 0, got.stderr
    assert f"environment: {checkout} cannot be locked: let one at a time work here" in got.stdout
    assert "ready" in got.stdout


@pytest.mark.parametrize("damage", ["interrupted", "copied from elsewhere", "Python is gone"])
def test_environment_that_cannot_be_trusted_is_made_anew(damage, checkout, machine):
    venv = make_ready(checkout)
    assert prepare(checkout).returncode == 0
    if damage == "interrupted":
        (venv / "unfinished").touch()
    elif damage == "copied from elsewhere":
        (venv / "drw_tf").write_text(f"{checkout}2\n")
    else:
        (venv / "bin" / "python").unlink()
    # This machine's python3 fits but makes no environment: what counts is that it is asked.
    python3 = f'[[ "$*" != "-m venv .venv" ]] || exit 9\nexec {shlex.quote(sys.executable)} "$@"'
    got = prepare(checkout, env=machine(python3))
    assert got.returncode == 9
    assert "environment: making .venv with Python 3.1" in got.stdout
    assert (venv / "unfinished").exists()


def test_ci_runs_the_script_that_developers_run():
    assert "scripts/test.sh" in (ROOT / ".ci" / "run").read_text()
    assert "scripts/test.sh" in (ROOT / ".github" / "workflows" / "test.yml").read_text()


def test_pip_installs_the_package_with_what_is_pinned():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["dependencies"]' in text
    assert 'dependencies = { file = ["requirements.txt"] }' in text
    (gpu,) = re.findall(r'gpu = \["tensorflow\[and-cuda\]==([\d.]+)"\]', text)
    assert f"\ntensorflow=={gpu}\n" in (ROOT / "requirements.txt").read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_every_requirement_is_pinned(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line[:1] not in ("", "#")]
    pin = re.compile(r'[\w-]+==[\w.]+(; python_version [<>]=? "3\.11")?|-r \.\./requirements\.txt')
    assert [line for line in lines if not pin.fullmatch(line)] == []
