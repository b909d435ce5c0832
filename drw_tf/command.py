"""The `drw-tf` command: `drw-tf train ...` is `python -m drw_tf.train ...`.

A program is a module of this package, or the `__main__` of a package in it, whose docstring begins
as "`python -m drw_tf.", with its flags in `_TABLE`; it needs no line here.
"""

import ast
import functools
import importlib
import pathlib
import re
import sys
import types

import drw_tf
from drw_tf import completion, ending, flag_table, help_text
from drw_tf import config as configuration

# Programs that hand the trainer's flags on beside their own, or have those alone.
_TRAINERS = ("train", "compare", "sweep")
_SUMMARY = re.compile(r"`python -m drw_tf\.(\w+)[^`]*`: (.*)")


@functools.cache
def programs() -> dict[str, str]:
    """Name of each program -> what it does, in a line; reads the files, imports nothing."""
    found = {}
    folder = pathlib.Path(drw_tf.__file__).parent
    for path in (*folder.glob("*.py"), *folder.glob("*/__main__.py")):
        name = path.stem if path.parent == folder else path.parent.name
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        begins = _SUMMARY.match(text.partition("\n\n")[0].replace("\n", " "))
        if begins and begins[1] == name:
            found[name] = begins[2].rstrip(".")
    return dict(sorted(found.items()))


def _module(program: str) -> types.ModuleType:
    module = importlib.import_module(f"drw_tf.{program}")
    is_package = hasattr(module, "__path__")
    return importlib.import_module(f"drw_tf.{program}.__main__") if is_package else module


def flags_of(program: str) -> list[flag_table.Flag]:
    """The flags that may follow the name of a program."""
    module = _module(program)
    table = {flag.name: flag for flag in getattr(module, "_TABLE", ())}
    if program in _TRAINERS:
        table |= {flag.name: flag for flag in flag_table.FLAGS if flag.name not in table}
    return list(table.values())


def main(argv: list[str] | None = None) -> None:
    """Runs the program that is named first; exits with 2 after bad input."""
    words = (sys.argv if argv is None else argv)[1:]
    if not words or words[0] in {"help", *help_text.ASKS_FOR_HELP}:
        print(usage())
        return
    if words[0] == "--version":
        print(f"drw-tf {drw_tf.__version__}")
        return
    if words[0] == "completion":
        _print_completion(words[1:])
        return
    if words[0] not in programs():
        known = ", ".join((*programs(), "completion"))
        _refuse(f"the first word must be one of {known}, got {words[0]!r}.")
    _module(words[0]).main([f"drw-tf {words[0]}", *words[1:]])


def program() -> None:
    """The command as a process of its own, which ends once its work is saved."""
    ending.run(main)


def usage() -> str:
    """The programs, a line each."""
    lines = {**programs(), "completion": "prints the completion of a shell: bash or zsh"}
    width = max(map(len, lines)) + 2
    return "\n".join(
        [
            "drw-tf PROGRAM [--name=value ...]",
            "",
            *(f"  {name:<{width}}{text}" for name, text in lines.items()),
            "",
            "drw-tf PROGRAM --help explains the common flags, --helpfull all; drw-tf --version",
        ]
    )


def _print_completion(words: list[str]) -> None:
    if len(words) != 1 or words[0] not in completion.SHELLS:
        shells = " or ".join(completion.SHELLS)
        _refuse(f"completion needs the name of a shell, {shells}.")
    tables = {program: flags_of(program) for program in programs()}
    print(completion.script(words[0], programs(), tables))


def _refuse(text: str) -> None:
    configuration.refuse("drw-tf", configuration.ConfigError(text))


if __name__ == "__main__":
    program()
