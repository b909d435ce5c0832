#!/usr/bin/env bash
# Makes .venv in the root of the repository: a fitting Python and the pinned packages.
# A second run finds all in place and does nothing.
set -euo pipefail

usage="usage: scripts/environment.sh [--dev] [--python=PROGRAM]
  --dev             also the tools of the tests
  --python=PROGRAM  make it with this Python 3.10 or 3.11, not with the first that is found"

requirements=(requirements.txt)
wanted=""
for argument in "$@"; do
  case "$argument" in
    --dev) requirements+=(tests/requirements.txt) ;;
    --python=?*) wanted="${argument#--python=}" ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) printf '%s\n' "environment.sh: unknown option $argument" "$usage" >&2; exit 2 ;;
  esac
done
# A path as the user typed it, before the folder changes.
[[ "$wanted" != */* || "$wanted" == /* ]] || wanted="$PWD/$wanted"
# -P: an environment is for this folder, by whichever links it was reached.
CDPATH="" cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "environment: $*"; }
fail() { printf '%s\n' "environment: $*" >&2; exit 1; }

# Runs, is 64-bit, is one of the versions given, and can make environments and use TLS: a
# pyenv shim may exist and fail, Debian ships Python without ensurepip.
fits() {
  local program="$1"
  shift
  "$program" -c 'import ensurepip, ssl, sys, venv
version = "%d.%d" % sys.version_info[:2]
sys.exit(not (version in sys.argv[1:] and sys.maxsize > 2**32))' "$@" </dev/null >/dev/null 2>&1
}

# Prints the first Python that fits; 3.11 goes before 3.10. An activated .venv is passed over,
# as it may be about to be made anew.
find_python() {
  local version candidate
  for version in 3.11 3.10; do
    while IFS= read -r candidate; do
      if [[ "$candidate" != "$PWD"/.venv/* ]] && fits "$candidate" "$version"; then
        printf '%s\n' "$candidate"
        return 0
      fi
    done < <(
      type -aP "python$version" || true
      printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/python \
        "$PWD"/.uv/python/*/bin/"python$version"
      type -aP python3 python || true
    )
  done
  return 1
}

# Has uv download Python 3.11 into .uv/python, where find_python looks.
fetch_python() {
  local uv
  uv="$(type -P uv || true)"
  if [[ -z "$uv" ]]; then
    say "getting uv from PyPI into .uv"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target .uv/package uv ||
      { python3 -m venv .uv/venv && .uv/venv/bin/python -m pip install --quiet uv; } ||
      return 1
    uv="$(type -P .uv/package/bin/uv || type -P .uv/venv/bin/uv)" || return 1
  fi
  say "getting Python 3.11 with uv into .uv"
  UV_PYTHON_INSTALL_DIR="$PWD/.uv/python" UV_PYTHON_INSTALL_BIN=0 \
    "$uv" python install --no-progress 3.11
}

choose_python() {
  if [[ -n "$wanted" ]]; then
    printf '%s\n' "$wanted"
    return
  fi
  find_python && return
  say "no Python 3.11 or 3.10 with venv found" >&2
  fetch_python >&2 && find_python && return
  fail "install Python 3.11 with its venv module (Debian: apt-get install python3.11-venv) and" \
    "run this again: none was found, and none could be downloaded."
}

# .venv/drw_tf says for which folder the environment was made. It is written first, so that
# a .venv without it belongs to somebody else; .venv/unfinished lasts while work is under
# way, so that an interrupted installation is started over.
usable() {
  local made_for
  made_for="$(CDPATH="" cd -P -- "$(cat .venv/drw_tf)" 2>/dev/null && printf '%s\n' "$PWD")" || true
  [[ ! -e .venv/unfinished && "$made_for" == "$PWD" ]] && fits .venv/bin/python "$@"
}

make_venv() {
  local python versions=(3.11 3.10)
  if [[ -n "$wanted" ]]; then
    fits "$wanted" "${versions[@]}" ||
      fail "--python must be a 64-bit Python 3.10 or 3.11 with venv and ssl, got $wanted."
    versions=("$("$wanted" -c 'import sys; print("%d.%d" % sys.version_info[:2])')")
  fi
  if [[ -e .venv ]]; then
    [[ -e .venv/drw_tf ]] ||
      fail "$PWD/.venv was not made by this script: move it away and run this again."
    if usable "${versions[@]}"; then
      return
    fi
  fi
  python="$(choose_python)"
  say "making .venv with $("$python" --version) ($python)"
  rm -rf .venv
  mkdir .venv
  printf '%s\n' "$PWD" >.venv/drw_tf
  touch .venv/unfinished
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --upgrade pip
}

install() {
  local file="$1" checksum stamp
  stamp=".venv/installed_${file//\//_}"
  checksum="$(cat requirements.txt "$file" | cksum)"
  if [[ "$(cat "$stamp" 2>/dev/null)" == "$checksum" ]]; then
    return
  fi
  say "installing $file into .venv (2 GB in all: takes minutes)"
  touch .venv/unfinished
  .venv/bin/python -m pip install --quiet --requirement "$file"
  .venv/bin/python -m pip check
  printf '%s\n' "$checksum" >"$stamp"
}

# So that the package is found from any folder, where the user's pictures lie.
link() {
  local packages
  for packages in .venv/lib/python3.*/site-packages; do
    printf '%s\n' "$PWD" >"$packages/drw_tf_checkout.pth"
  done
}

# A second one would take away what the first one is at.
lock=3
if { exec 9>>.environment.lock; } 2>/dev/null && type -P flock >/dev/null; then
  lock=0
  flock --nonblock 9 2>/dev/null || lock=$?
fi
case "$lock" in
  0) ;;
  1) say "another one is at work in $PWD, waiting"; flock 9 ;;
  *) say "$PWD cannot be locked: let one at a time work here" ;;
esac
make_venv
for file in "${requirements[@]}"; do
  install "$file"
done
link
rm -f .venv/unfinished
say "ready: $(.venv/bin/python --version), $PWD/.venv"
