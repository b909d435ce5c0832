#!/usr/bin/env bash
# All checks, as in CI: ruff, then the tests on two processes.
set -euo pipefail

usage="usage: scripts/test.sh [--slow] [--python=PROGRAM] [arguments of pytest]
  --slow            the slow tests too
  --python=PROGRAM  a Python 3.10 or 3.11 to make .venv with
Whatever else is given goes to pytest, from the root of the repository: a path, -k, -x."

scripts="$(dirname -- "${BASH_SOURCE[0]}")"
environment=(--dev)
tests=()
for argument in "$@"; do
  case "$argument" in
    --python=?*) environment+=("$argument") ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) tests+=("$argument") ;;
  esac
done

bash "$scripts/environment.sh" "${environment[@]}"
CDPATH="" cd -- "$scripts/.."
python=.venv/bin/python
# Where Python is told to keep no bytecode, every process of the tests would compile the package.
"$python" -m compileall -q drw_tf
"$python" -m ruff check
"$python" -m ruff format --check
# The bytecode of the tests is pytest's own, and kept, too: the next run need not make it.
# In the order of tests/conftest.py; else files of many tests go first, which are not the long ones.
PYTHONDONTWRITEBYTECODE= "$python" -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder ${tests[@]+"${tests[@]}"}
