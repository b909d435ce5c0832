#!/usr/bin/env bash
# From a fresh checkout to two trained models side by side: FixMatch without and with DRw,
# on scikit-learn's handwritten digits, which need no download. A second run goes on where
# the first one stopped.
set -euo pipefail

usage="usage: scripts/quickstart.sh [--python=PROGRAM]
  --python=PROGRAM  a Python 3.10 or 3.11 to make .venv with"

scripts="$(dirname -- "${BASH_SOURCE[0]}")"
environment=()
for argument in "$@"; do
  case "$argument" in
    --python=?*) environment+=("$argument") ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) printf '%s\n' "quickstart.sh: unknown option $argument" "$usage" >&2; exit 2 ;;
  esac
done

bash "$scripts/environment.sh" ${environment[@]+"${environment[@]}"}
CDPATH="" cd -- "$scripts/.."

runs=runs/digits
for method in fixmatch drw; do
  printf '\n%s\n' "== training $method on digits"
  .venv/bin/python -m drw_tf.train --dataset=digits --method="$method"
done

printf '\n%s\n' "== the two side by side"
.venv/bin/python -m drw_tf.report \
  "$runs/fixmatch/seed0" "$runs/drw/seed0" --out="$runs/quickstart"

# Says what lies where, of what is there.
where() {
  if [[ -e "$2" ]]; then
    printf '  %-17s %s\n' "$1" "$2"
  fi
}
printf '\n%s\n' "== what lies where, in $PWD"
for method in fixmatch drw; do
  where "$method: record" "$runs/$method/seed0/record.json"
  where "checkpoints" "$runs/$method/seed0/checkpoints"
  where "TensorBoard logs" "$runs/$method/seed0/tensorboard"
  where "SavedModel" "$runs/$method/seed0/export"
done
where "tables, pictures" "$runs/quickstart/report.html"
printf '\n%s\n' "To see the curves: .venv/bin/python -m tensorboard.main --logdir=$runs"
