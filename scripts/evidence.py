"""The runs behind the README's evidence on CIFAR-10-LT, in the order of what they tell.

    python scripts/evidence.py --list                  # the commands
    python scripts/evidence.py                         # runs what has no record yet
    python scripts/evidence.py --seeds=1 r100          # a part of it, one seed

What has a record is not run again, an interrupted run goes on where it was. Started twice, each
pinned to a core (`taskset -c 0 ...`), it does a quarter more in all: what one process has begun
the other leaves. To judge a run again with adjusted logits needs its folder, which only the machine
that trained it has. Parts: r100, r50, beta, batch, scale.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import math
import os
import pathlib
import shlex
import sys
from collections.abc import Iterator

import repository

from drw_tf import child

PROTOCOL = "flags/protocol/small_budget.flags"
BASES = ("fixmatch", "drw", "supervised")
ABLATIONS = ("frwl", "frwu", "frwlu")
OTHERS = ("fixmatch_darp", "fixmatch_crest_plus", "mixmatch", "fixmatch_cdmad", "fixmatch_abc")
COMBINATIONS = ("drw_darp", "drw_cdmad", "drw_abc")
# Recipe that adds logit adjustment at test time to a run, and its priors.
ADJUSTED = {
    "fixmatch": ("fixmatch_la", ("labeled", "pseudo")),
    "drw": ("drw_la", ("labeled", "effective", "pseudo")),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs of one method that differ in the seed alone.

    Attributes:
        part: name on the command line.
        data: flagfile of the data, its name in flags/data.
        name: of the folders of runs and records.
        method: recipe.
        flags: what differs from the protocol.
        seeds: of which the first ones come first.
    """

    part: str
    data: str
    name: str
    method: str
    flags: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)

    def training(self, seed: int) -> list[str]:
        """The command of one run."""
        return [
            *("python", "-m", "drw_tf.compare", f"--flagfile=flags/data/{self.data}.flags"),
            *(f"--flagfile={PROTOCOL}", *self.flags),
            *(f"--methods={self.method}", f"--seeds={seed}", f"--results=results/{self.name}"),
            *(f"--runs=runs/{self.name}", "--export=false", "--tensorboard=false"),
        ]

    def folder(self, seed: int) -> pathlib.Path:
        """Of one run."""
        return pathlib.Path("runs", self.name, self.method, f"seed{seed}")

    def judgements(self, seed: int) -> list[tuple[pathlib.Path, list[str]]]:
        """Records that need no training, and the commands that make them of the run."""
        method, priors = ADJUSTED.get(self.method, ("", ()))
        found = []
        for prior in priors:
            mark = "" if prior == "labeled" else f"_{prior}"
            out = pathlib.Path("results", self.name, f"{method}{mark}_seed{seed}.json")
            command = [
                *("python", "-m", "drw_tf.evaluate"),
                f"--workdir={self.folder(seed)}",
                *(f"--as_method={method}", f"--la_prior={prior}", f"--out={out}"),
            ]
            found.append((out, command))
        return found


def _r100(method: str, *seeds: int) -> Row:
    return Row("r100", "cifar10_r100", "cifar10_r100", method, (), seeds)


def _r50(method: str) -> Row:
    return Row("r50", "cifar10_r50", "cifar10_r50", method)


def _variant(part: str, flag: str, value: str, method: str = "drw") -> Row:
    name = f"cifar10_r100_{part}_{value}"
    return Row(part, "cifar10_r100", name, method, (f"--{flag}={value}",))


PLAN = (
    *(_r100(method, 0, 1, 2) for method in BASES),
    *(_r100(method, 0) for method in ABLATIONS),
    *(_variant("beta", "beta", value) for value in ("0.9", "0.99", "0.999")),
    *(_r100(method, 0) for method in OTHERS),
    # Whether DRw's weights gain on debiased pseudo-labels takes more than one seed to tell.
    _r100("drw_cdmad", 0, 1, 2),
    *(_r50(method) for method in ("fixmatch", "drw")),
    _r100("fixmatch_cdmad", 1, 2),
    _r50("supervised"),
    _variant("batch", "batch_size", "32"),
    *(_r100(method, 0) for method in ("drw_abc", "drw_darp")),
    *(_r100(method, 1, 2) for method in ABLATIONS),
    Row(
        "r100",
        "cifar10_r100",
        "cifar10_r100_sample_normalization",
        "drw",
        ("--weight_normalization=sample",),
        (0, 1, 2),
    ),
    # Without FixMatch beside it a size of batch says nothing of the weights.
    _variant("batch", "batch_size", "32", "fixmatch"),
    *(_r50(method) for method in (*ABLATIONS, *OTHERS)),
    # FixMatch + DARP is what the paper's DRw and its Table 4 stand on.
    *(_r100(method, 1, 2) for method in ("fixmatch_darp", "drw_darp")),
    *(_variant("batch", "batch_size", "128", method) for method in ("drw", "fixmatch")),
    *(_r50(method) for method in COMBINATIONS),
    *(_r100(method, 1, 2) for method in ("fixmatch_abc", "drw_abc")),
    *(_r100(method, 1, 2) for method in ("fixmatch_crest_plus", "mixmatch")),
    # FixMatch with the scale of DRw's labeled loss and no balance. Under SGD and L2 a third of the
    # labeled loss alone is a third of the learning rate and thrice all that is beside it.
    Row(
        "scale",
        "cifar10_r100",
        "cifar10_r100_labeled_third",
        "fixmatch",
        ("--learning_rate=0.01", "--lambda_u=3", "--weight_decay=0.0015"),
        (0, 1, 2),
    ),
)


def planned(parts: list[str], seeds: list[int]) -> list[tuple[Row, int]]:
    """The runs in order, each a row and a seed."""
    return [
        (row, seed) for row in PLAN for seed in row.seeds if row.part in parts and seed in seeds
    ]


@contextlib.contextmanager
def claim(row: Row, seed: int) -> Iterator[bool]:
    """Whether this process alone is at this run now; the kernel ends the claim with the process."""
    folder = pathlib.Path("runs", row.name, row.method)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"seed{seed}.claim", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_of(record: pathlib.Path, row: Row, seed: int) -> bool:
    """Whether a judgement's record is there, and of the run whose record is kept: as long as it."""
    trained = pathlib.Path("results", row.name, f"{row.method}_seed{seed}.json")
    if not (record.exists() and trained.exists()):
        return record.exists()
    judged, kept = (json.loads(path.read_text())["seconds"] for path in (record, trained))
    return math.isclose(judged, kept, rel_tol=1e-5)


def main() -> None:
    """Runs the commands one after the other; stops at the first that fails."""
    known = list(dict.fromkeys(row.part for row in PLAN))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(known)} [all]")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated [0,1,2]")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    given = parser.parse_args()
    for part in given.parts:
        if part not in known:
            parser.error(f"a part must be one of {', '.join(known)}, got {part!r}.")
    seeds = given.seeds.split(",")
    if not all(seed.isdecimal() for seed in seeds):
        parser.error(f"--seeds must be whole numbers, comma-separated, got {given.seeds!r}.")
    os.chdir(repository.ROOT)
    for row, seed in planned(given.parts or known, [int(seed) for seed in seeds]):
        training, judgements = row.training(seed), row.judgements(seed)
        if given.list:
            for command in (training, *(command for _, command in judgements)):
                print(shlex.join(command))
            continue
        with claim(row, seed) as is_ours:
            if not is_ours:
                continue
            child.carry_out([sys.executable, *training[1:]])
            for record, command in judgements:
                if is_of(record, row, seed):
                    continue
                if row.folder(seed).exists():
                    child.carry_out([sys.executable, *command[1:]])
                else:
                    print(f"left out {record}: {row.folder(seed)} is not there", flush=True)


if __name__ == "__main__":
    main()
