"""Completion of `drw-tf` in bash and zsh, made from the tables of flags."""

from collections.abc import Mapping, Sequence

from drw_tf import flag_table, protocols, recipes

SHELLS = ("bash", "zsh")
_CHOICES = "one of "
_PATHS = ("dir", "file", "csv", "out", "model", "images", "runs", "results")

_BASH = """\
# drw-tf for bash; in ~/.bashrc:  source <(drw-tf completion bash)
_drw_tf() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}" flag="" choices=""
  # bash takes "=" for a word of its own.
  if [[ "$word" == "=" ]]; then
    flag="$before" word=""
  elif [[ "$before" == "=" ]]; then
    flag="${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  if ((COMP_CWORD == 1)); then
    choices="@PROGRAMS@"
  elif [[ -n "$flag" ]]; then
    case "$flag" in
@VALUES@
      *) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
  else
    case "${COMP_WORDS[1]}" in
@FLAGS@
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
  if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *= ]]; then compopt -o nospace; fi
}
complete -F _drw_tf drw-tf"""

_ZSH = """\
#compdef drw-tf
# drw-tf for zsh; after compinit in ~/.zshrc:  source <(drw-tf completion zsh)
_drw_tf() {
  local -a programs
  programs=(
@PROGRAMS@
  )
  if ((CURRENT == 2)); then
    _describe program programs
    return
  fi
  shift words
  ((CURRENT--))
  case "$words[1]" in
@FLAGS@
  esac
}
compdef _drw_tf drw-tf"""


def script(
    shell: str, programs: Mapping[str, str], tables: Mapping[str, Sequence[flag_table.Flag]]
) -> str:
    """The text that a shell sources.

    Args:
        shell: one of `SHELLS`.
        programs: name -> what it does, in a line.
        tables: name of a program -> its flags.
    """
    everything = {**programs, "completion": "prints the completion of a shell"}
    if shell == "bash":
        return _bash(list(everything), tables)
    return _zsh(everything, tables)


def values_of(flag: flag_table.Flag) -> tuple[str, ...]:
    """The words that a flag may be given, where those can be listed; else none."""
    named = {
        "dataset": protocols.DATASETS,
        "method": recipes.RECIPES,
        "methods": recipes.RECIPES,
        "protocol": protocols.PROTOCOLS,
    }
    if flag.name in named:
        return tuple(named[flag.name])
    if flag.allowed.startswith(_CHOICES):
        return tuple(flag.allowed.removeprefix(_CHOICES).split(", "))
    return ()


def _spellings(flag: flag_table.Flag) -> tuple[str, ...]:
    if flag.kind == "bool":
        return f"--{flag.name}", f"--no{flag.name}"
    return (f"--{flag.name}=",)


def _bash(programs, tables) -> str:
    values, cases = {}, []
    for program, table in tables.items():
        words = [word for flag in table for word in _spellings(flag)]
        words += ["--help", "--helpfull"]
        cases.append(f'      {program}) choices="{" ".join(words)}" ;;')
        values.update({flag.name: values_of(flag) for flag in table if values_of(flag)})
    cases.append(f'      completion) choices="{" ".join(SHELLS)}" ;;')
    listed = [f'      --{name}) choices="{" ".join(found)}" ;;' for name, found in values.items()]
    return (
        _BASH.replace("@PROGRAMS@", " ".join(programs))
        .replace("@VALUES@", "\n".join(listed))
        .replace("@FLAGS@", "\n".join(cases))
    )


def _zsh(programs, tables) -> str:
    described = [f"    {_quoted(f'{name}:{text}')}" for name, text in programs.items()]
    cases = []
    for program, table in tables.items():
        specs = [_zsh_spec(flag, word) for flag in table for word in _spellings(flag)]
        lines = " \\\n".join(f"        {spec}" for spec in specs)
        cases.append(f"    {program})\n      _arguments \\\n{lines}\n      ;;")
    cases.append(f"    completion) _values shell {' '.join(SHELLS)} ;;")
    return _ZSH.replace("@PROGRAMS@", "\n".join(described)).replace("@FLAGS@", "\n".join(cases))


def _zsh_spec(flag: flag_table.Flag, word: str) -> str:
    text = flag.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    action = ""
    if word.endswith("="):
        action = f":{flag.name}:"
        if values_of(flag):
            action += f"({' '.join(values_of(flag))})"
        elif flag.name.split("_")[-1] in _PATHS:
            action += "_files"
    return _quoted(f"{word}[{text}]{action}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
