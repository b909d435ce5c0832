"""The runs behind the README's evidence on CIFAR-10-LT, in the order of what they tell.

    python scripts/evidence.py --list                  # the commands
    python scripts/evidence.py                         # runs what has no record yet
    python scripts/evidence.py --seeds=1 r100          # a part of it, one seed

What has a record is not run again, an interrupted run goes on where it was. Each run uses all
cores; two with different --seeds, each pinned to one core (`taskset -c 0 ...`), do more in all.
Parts: r100, r50, beta, batch.
"""

import argparse
import dataclasses
import os
import pathlib
import shlex
import sys

import repository

from drw_tf import child

PROTOCOL = "flags/protocol/small_budget.flags"
METHODS = (
    *("fixmatch", "drw", "supervised", "frwl", "frwu", "frwlu"),
    *("fixmatch_darp", "fixmatch_crest_plus", "mixmatch", "fixmatch_cdmad", "fixmatch_abc"),
    *("drw_darp", "drw_cdmad", "drw_abc"),
)
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

    def judgements(self, seed: int) -> list[tuple[pathlib.Path, list[str]]]:
        """Records that need no training, and the commands that make them of the run."""
        method, priors = ADJUSTED.get(self.method, ("", ()))
        found = []
        for prior in priors:
            mark = "" if prior == "labeled" else f"_{prior}"
            out = pathlib.Path("results", self.name, f"{method}{mark}_seed{seed}.json")
            command = [
                *("python", "-m", "drw_tf.evaluate"),
                f"--workdir=runs/{self.name}/{self.method}/seed{seed}",
                *(f"--as_method={method}", f"--la_prior={prior}", f"--out={out}"),
            ]
            found.append((out, command))
        return found


def _variant(part: str, flag: str, value: str) -> Row:
    return Row(part, "cifar10_r100", f"cifar10_r100_{part}_{value}", "drw", (f"--{flag}={value}",))


PLAN = (
    *(Row("r100", "cifar10_r100", "cifar10_r100", one, (), (0, 1, 2)) for one in METHODS[:2]),
    Row(
        "r100",
        "cifar10_r100",
        "cifar10_r100_sample_normalization",
        "drw",
        ("--weight_normalization=sample",),
        (0, 1, 2),
    ),
    *(Row("r100", "cifar10_r100", "cifar10_r100", one, (), (0, 1, 2)) for one in METHODS[2:]),
    *(Row("r50", "cifar10_r50", "cifar10_r50", one) for one in METHODS),
    *(_variant("beta", "beta", value) for value in ("0.9", "0.99", "0.999")),
    *(_variant("batch", "batch_size", value) for value in ("32", "128")),
)


def commands(parts: list[str], seeds: list[int]) -> list[tuple[pathlib.Path | None, list[str]]]:
    """All commands in order, each with the record that makes it needless if that is known."""
    found = []
    for row in PLAN:
        for seed in row.seeds if row.part in parts else ():
            if seed in seeds:
                found += [(None, row.training(seed)), *row.judgements(seed)]
    return found


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
    for record, command in commands(given.parts or known, [int(seed) for seed in seeds]):
        if given.list:
            print(shlex.join(command))
        elif record is None or not record.exists():
            code = child.run([sys.executable, *command[1:]])
            if code:
                raise SystemExit(code)


if __name__ == "__main__":
    main()
