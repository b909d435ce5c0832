"""From a command line to one frozen record of a run.

Order of precedence, highest first: the command line (its flagfiles included), the recipe,
the data set, the protocol, the flag's own default. Nothing here imports TensorFlow, so a
wrong command line is refused at once; nothing below this module reads flags.
"""

import contextlib
import json
import math
import os
import pathlib
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence

from absl import flags as absl_flags

from drw_tf import (
    contradictions,
    flag_table,
    flagfiles,
    help_text,
    protocols,
    recipes,
    standard_error,
)

EXIT_BAD_INPUT = 2


class ConfigError(ValueError):
    """A command line that cannot be run; the message is one line for the user."""


class Config(Mapping):
    """All flags of one run, resolved; read as attributes, never changed."""

    def __init__(self, values: Mapping):
        self._values = types.MappingProxyType(dict(values))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"no flag named {name}") from None

    def __getitem__(self, name):
        return self._values[name]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    @property
    def recipe(self) -> recipes.Recipe:
        """The recipe named by `--method`."""
        return recipes.RECIPES[self.method]

    def to_json(self) -> str:
        """The record as indented JSON, keys sorted."""
        return json.dumps(dict(self._values), indent=1, sort_keys=True)


def check_values(given: Mapping, table: Sequence[flag_table.Flag]) -> None:
    """Refuses values out of range.

    Args:
        given: flag name -> value of the right type.
        table: the flags of the program, all of `given` among them.

    Raises:
        ConfigError: a value is not allowed.
    """
    known = {flag.name: flag for flag in table}
    for name, value in given.items():
        if not known[name].check(value):
            shown = ",".join(value) if isinstance(value, list) else value
            raise ConfigError(
                f"--{name} must be {known[name].allowed}, got {shown or repr(shown)}."
            )


def _refuse_type(error: absl_flags.IllegalFlagValueError, table) -> ConfigError:
    """The error for a value of the wrong type, which absl names, but not what is allowed."""
    name, value = re.match(r"flag --(\w+)=(.*?): ", str(error), re.DOTALL).groups()
    (flag,) = [flag for flag in table if flag.name == name]
    allowed = "true or false" if flag.kind == "bool" else flag.allowed
    return ConfigError(f"--{name} must be {allowed}, got {value!r}.")


def split_arguments(
    arguments: Iterable[str], table: Sequence[flag_table.Flag]
) -> tuple[list[str], list[str]]:
    """(those that are flags of `table`, all others), each in their order.

    Flagfiles stay as they are unless flags of `table` are in them.
    """
    names = {f"--{negated}{flag.name}" for flag in table for negated in ("", "no")}
    words = list(arguments)
    with contextlib.suppress(ValueError):  # a file that cannot be read is refused in `parse`
        expanded = flagfiles.expand(words)
        if any(word.split("=")[0] in names for word in expanded if word not in words):
            words = expanded
    own = [word for word in words if word.split("=")[0] in names]
    return own, [word for word in words if word not in own]


def resolve(given: Mapping) -> Config:
    """The whole configuration, from the flags that a user typed.

    Args:
        given: flag name -> value of the right type, only flags that were typed.

    Raises:
        ConfigError: an unknown name, a value out of range, flags that contradict each other,
            or a flag that the chosen recipe or data set does not read.
    """
    check_values(given, flag_table.FLAGS)
    defaults = {flag.name: flag.default for flag in flag_table.FLAGS}
    dataset = given.get("dataset", defaults["dataset"])
    method = given.get("method", defaults["method"])
    if protocols.dataset(dataset) is None:
        _require(dataset, [*protocols.DATASETS, protocols.TFDS_PREFIX + "<name>"], "dataset")
    _require(method, recipes.RECIPES, "method")
    recipe = recipes.RECIPES[method]
    for_dataset = dict(protocols.dataset(dataset))
    reads = for_dataset.pop("reads")
    protocol = given.get("protocol", for_dataset["protocol"])
    _require(protocol, protocols.PROTOCOLS, "protocol")
    # A protocol typed by the user beats the data set's own choice of the same values,
    # but not what belongs to the data themselves.
    layers = [defaults, protocols.PROTOCOLS[protocol], for_dataset, recipe.defaults, given]
    if "protocol" in given and given["protocol"] != for_dataset["protocol"]:
        layers[1:3] = [for_dataset, protocols.PROTOCOLS[protocol]]
    values = {}
    for layer in layers:
        values.update(layer)
    values.update(dataset=dataset, method=method, protocol=protocol)
    unread = recipes.method_flags() - set(recipe.flags)
    unread_data = data_flags() - set(reads) - set(recipe.flags)
    _refuse_unread(given, unread, "method", method, recipe.flags)
    _refuse_unread(given, unread_data, "dataset", dataset, reads)
    _derive(values, given)
    for name in unread | unread_data:
        values[name] = None  # a recorded value would look as if it had been used
    if not recipe.has_strong_views:
        _keep_padding_alone(values, given)
    for line in contradictions.found(values):
        raise ConfigError(line)
    return Config(values)


def _keep_padding_alone(values: dict, given: Mapping) -> None:
    """Leaves of a preset what weak views read: that a crop is padded with black.

    None otherwise: then crops reflect, whatever else the preset says of strong views.
    """
    if values["crop"] in flag_table.RESIZED and "randaugment" in given:
        raise ConfigError(
            f"--randaugment is not read with --crop={values['crop']} by "
            f"--method={values['method']}, which has no strong views, got {given['randaugment']}."
        )
    if not flag_table.pads_black(values["randaugment"], values["crop"]):
        values["randaugment"] = None


def data_flags() -> set[str]:
    """Names of the flags that only some data sets read."""
    tables = [protocols.dataset(name) for name in (*protocols.DATASETS, protocols.TFDS_PREFIX)]
    return {name for table in tables for name in table["reads"]}


def _require(name: str, known: Iterable[str], flag: str) -> None:
    if name not in known:
        raise ConfigError(f"--{flag} must be one of {', '.join(sorted(known))}, got {name!r}.")


def _refuse_unread(given, unread: set[str], kind: str, name: str, reads: Sequence[str]) -> None:
    found = sorted(set(given) & unread)
    if found:
        listed = ", ".join(sorted(reads)) or "no flags of its own"
        raise ConfigError(f"--{found[0]} is not read by --{kind}={name}; it reads {listed}.")


def _derive(values: dict, given: Mapping) -> None:
    """Fills values that follow from others, and gives beta its one spelling."""
    values["beta"] = flag_table.spelled_beta(values["beta"])
    common = values["steps_per_epoch"]
    if "checkpoint_steps" in given:
        common = math.gcd(common, given["checkpoint_steps"])
    if "steps_per_execution" not in given:
        values["steps_per_execution"] = math.gcd(values["steps_per_execution"], common)
    if "checkpoint_steps" not in given:
        whole = values["checkpoint_steps"] // values["steps_per_execution"]
        values["checkpoint_steps"] = max(1, whole) * values["steps_per_execution"]
    if values["stop_at_step"] is None:
        values["stop_at_step"] = values["steps"]
    if values["learning_rate"] is None:
        values["learning_rate"] = 0.1 * values["batch_size"] / 256
    if values["vat_radius"] is None:
        values["vat_radius"] = 6.0 * values["image_size"] / 32
    if flag_table.is_application(values["model"]):
        # A published network computes something else with other constants than its own.
        for name in ("batch_norm_momentum", "batch_norm_epsilon"):
            values[name] = given.get(name)
    if values["crop"] is None and values["image_size"] is not None:
        # FixMatch's ImageNet code crops and flips once and makes both views of that.
        large = "resized_once" if values["protocol"] == "imagenet" else "resized"
        values["crop"] = "shift" if values["image_size"] < 96 else large
    if values["eval_batch_size"] is None:
        # The pixels of 500 pictures of 96 x 96: larger ones would fill a memory that training,
        # whose batch was made to fit, does not.
        size = values["image_size"] or 96
        values["eval_batch_size"] = min(500, 500 * 96**2 // size**2)
    if values["unlabeled_order"] == "uniform":
        # A uniform set has the ratio 1; any other that was typed is refused as a contradiction.
        if values["unlabeled_imbalance_ratio"] == 1:
            values["unlabeled_imbalance_ratio"] = None
    elif values["unlabeled_imbalance_ratio"] is None:
        values["unlabeled_imbalance_ratio"] = values["imbalance_ratio"]
    if values["workdir"] is None:
        values["workdir"] = (
            f"runs/{values['dataset'].replace(':', '_')}/{values['method']}/seed{values['seed']}"
        )


def differences(old: Mapping, new: Mapping) -> list[str]:
    """One line for each flag that differs and changes the result of a run.

    A flag that `old` does not know, or whose method did not read it, is younger than that run,
    which did what is now its default.
    """
    lines = []
    # Older runs have a beta as it was typed.
    old, new = ({**one, "beta": flag_table.spelled_beta(one.get("beta"))} for one in (old, new))
    own = recipes.RECIPES[new["method"]].defaults
    for flag in flag_table.FLAGS:
        was, now = old.get(flag.name), new.get(flag.name)
        if was is None and now is not None:
            was = own.get(flag.name, flag.default)
        if flag.changes_result and was != now:
            lines.append(f"--{flag.name}: was {was}, now {now}")
    return lines


# ---- the command line

_DEFINE = {
    "int": absl_flags.DEFINE_integer,
    "float": absl_flags.DEFINE_float,
    "bool": absl_flags.DEFINE_boolean,
    "string": absl_flags.DEFINE_string,
    "list": absl_flags.DEFINE_list,
}


def parse(argv: Sequence[str], table: Sequence[flag_table.Flag] = flag_table.FLAGS) -> dict:
    """Flags that were typed: name -> value.

    Args:
        argv: program name and arguments; each `--flagfile=PATH` is read in place.
        table: the flags of this program.

    Raises:
        ConfigError: an unknown flag, a value of the wrong type or out of range, a stray
            argument.
    """
    values = absl_flags.FlagValues()
    for flag in table:
        # Where no module is named, absl looks for it on the stack, of every flag.
        _DEFINE[flag.kind](flag.name, None, flag.help, flag_values=values, module_name=__name__)
    try:
        rest = values([argv[0], *flagfiles.expand(argv[1:])])
    except absl_flags.IllegalFlagValueError as error:
        raise _refuse_type(error, table) from None
    except (absl_flags.Error, ValueError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    if len(rest) > 1:
        raise ConfigError(f"every argument must be a flag (--name=value), got {rest[1]!r}.")
    given = {flag.name: values[flag.name].value for flag in table if values[flag.name].present}
    # A shell leaves `--out=~/x` as it was typed.
    home = {name: os.path.expanduser(one) for name, one in given.items() if _is_at_home(one)}
    given |= home
    check_values(given, table)
    return given


def _is_at_home(value: object) -> bool:
    return isinstance(value, str) and (value == "~" or value.startswith("~/"))


def hand_on(
    rest: Sequence[str], added: Mapping[str, object], setters: Mapping[str, str], anew: str
) -> list[str]:
    """Arguments for the trainer: what was typed, and what the program that starts it adds.

    Args:
        rest: what was typed for the trainer.
        added: flag of the trainer -> its value.
        setters: flag of the trainer -> flag of the program that decides it.
        anew: what to do in place of `--fresh`.

    Raises:
        ConfigError: one is refused, or an added flag was typed with another value.
    """
    words = [*rest, *(f"--{name}={value}" for name, value in added.items())]
    typed, final = parse(["train", *rest]), parse(["train", *words])
    for name in added:
        if name in typed and typed[name] != final[name]:
            by_hand = any(word.lstrip("-").partition("=")[0] == name for word in rest)
            where = "" if by_hand else " in a --flagfile"
            raise ConfigError(
                f"--{name} is set by --{setters[name]} here and must be left out, "
                f"got {typed[name]}{where}."
            )
    if typed.get("fresh"):
        # Nothing would start over where a run has its record, and all else at every call.
        raise ConfigError(f"--fresh must be left out: finished runs are kept; {anew}.")
    return words


def from_argv(argv: Sequence[str]) -> Config:
    """The configuration that a command line of the trainer asks for; may print help and exit.

    Raises:
        SystemExit: 0 after help was printed, 2 after a refusal was printed.
    """
    if help_text.ASKS_FOR_HELP & set(argv[1:]):
        show(help_text.of_program("drw_tf.train", flag_table.FLAGS, argv[1:]))
    if "--helpmethods" in argv[1:]:
        show(help_text.of_methods())
    try:
        config = resolve(parse(argv))
        # Not where flags are resolved: of a run that is only read, the places may be other ones.
        for line in contradictions.among_pictures("workdir", config.workdir, config):
            raise ConfigError(line)
        return config
    except ConfigError as error:
        refuse("train", error)


def show(text: str) -> None:
    """Prints a long text and exits."""
    with reader_may_leave():
        print(text)
    raise SystemExit(0)


@contextlib.contextmanager
def reader_may_leave():
    """Context for what is printed last: what cannot be printed is no error.

    A reader has seen enough, as `head`, or the disk is full; what was to be done is done.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_progress(line: str) -> None:
    """Prints a line, if that can be done: a full disk under a log stops no training."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def refuse(program: str, error: Exception | str) -> None:
    """Prints one line on standard error and exits with code 2."""
    standard_error.say(f"{program}: {error}")
    raise SystemExit(EXIT_BAD_INPUT)


def read(path: pathlib.Path) -> Config:
    """The configuration that an earlier run wrote.

    Raises:
        ConfigError: the file is not one.
    """
    try:
        found = Config(json.loads(path.read_text()))
        if not {"dataset", "method"} <= found.keys():
            raise ValueError("it names no data set and method")
        return found
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not the configuration of a run: {error}.") from None
