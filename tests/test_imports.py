"""Who imports whom, read from the source alone: nothing is imported here."""

import ast
import functools
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Lowest first. Parts of one row do not know each other; what has no row is an entry point.
LAYERS = (
    {"ops", "patience", "places", "standard_error", "whole_files"},
    {"augment"},
    {"data", "models"},
    {"rebalance"},
    {"methods"},
    {"flag_table", "protocols", "recipes"},
    {"training", "report"},
    {"config", "contradictions", "flagfiles", "help_text"},
    {"serving"},
)
CONFIG = next(layer for layer in LAYERS if "config" in layer)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
DISTRIBUTIONS = {"PIL": "pillow", "absl": "absl-py", "sklearn": "scikit-learn"}


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted((ROOT / "drw_tf").rglob("*.py"))}
SCRIPTS = sorted(path for folder in ("tests", "scripts") for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def imports(path):
    """Full names of all that a file imports: modules and, of `from`, what is taken out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += (f"{'.' * node.level}{node.module or ''}.{a.name}" for a in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found += (a.value for a in node.args if isinstance(a, ast.Constant))
    return tuple(found)


def imported_modules(path):
    """The modules of drw_tf that a file imports."""
    for name in imports(path):
        for candidate in (name, name.rpartition(".")[0]):
            if candidate in MODULES and candidate != "drw_tf":
                yield candidate
                break


def part(module):
    # What `python -m` runs is an entry point, also where it is that of a package.
    if module.endswith(".__main__"):
        return "__main__"
    return module.split(".")[1] if "." in module else "drw_tf"


def may_import(importer, imported):
    lower = RANK.get(imported, len(LAYERS)) < RANK.get(importer, len(LAYERS))
    same = importer == imported or {importer, imported} <= CONFIG
    return lower or same or not {importer, imported} & set(RANK)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_its_own_layer_and_lower_ones_only(module):
    wrong = [m for m in imported_modules(MODULES[module]) if not may_import(part(module), part(m))]
    assert not wrong, f"{module} must not import {wrong}"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("data", "ops", True),
        ("ops", "augment", False),
        ("models", "data", False),
        ("training", "report", False),
        ("report", "training", False),
        ("config", "protocols", True),
        ("report", "config", False),
        ("serving", "config", True),
        ("serving", "report", True),
        ("training", "serving", False),
        ("report", "serving", False),
        ("serving", "session", False),
        ("export", "serving", True),
        ("train", "session", True),
        ("training", "session", False),
    ],
)
def test_the_order_of_the_layers_is_the_documented_one(importer, imported, allowed):
    assert may_import(importer, imported) is allowed


def test_no_module_imports_itself_through_others():
    graph = {module: {*imported_modules(path)} for module, path in MODULES.items()}
    while leaves := [one for one, below in graph.items() if not below & graph.keys()]:
        for one in leaves:
            del graph[one]
    assert not graph, sorted(graph)


def test_imports_are_absolute():
    relative = [m for m, path in MODULES.items() if any(n[0] == "." for n in imports(path))]
    assert relative == []


def test_keras_is_only_ever_that_of_tensorflow():
    bare = [
        p for p in (*MODULES.values(), *SCRIPTS) if "keras" in {n.split(".")[0] for n in imports(p)}
    ]
    assert bare == []


def test_pyplot_is_imported_nowhere():
    # It takes a second, and a display where there is one.
    assert [m for m, p in MODULES.items() if any("pyplot" in n for n in imports(p))] == []


def test_addons_are_imported_in_one_module_only():
    users = {
        m for m, p in MODULES.items() if any(n.startswith("tensorflow_addons") for n in imports(p))
    }
    assert users <= {"drw_tf.augment.addons"}


@pytest.mark.parametrize("start", ["drw_tf.recipes", "drw_tf.config"])
def test_recipes_and_config_do_not_need_tensorflow(start):
    reached, todo = set(), [start]
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            todo += imported_modules(MODULES[module])
    outside = {name.split(".")[0] for module in reached for name in imports(MODULES[module])}
    assert outside <= set(sys.stdlib_module_names) | {"absl", "drw_tf"}, sorted(reached)


@pytest.mark.parametrize("module", [m for m, path in MODULES.items() if path.stem == "__init__"])
def test_a_package_init_holds_a_docstring_and_the_root_its_version(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    rest = [ast.unparse(node) for node in tree.body[1:]]
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    if module != "drw_tf":
        assert rest == []
        return
    # How TensorFlow starts is settled here, as nothing of the package is imported before.
    imported = ["import importlib.util", "import os", "import platform"]
    assert rest[:-4] == [*imported, f"__version__ = {version[1]!r}"]
    assert re.match(r"if platform\.machine\(\).*\n    os\.environ\.setdefault\(.*\)$", rest[-4])
    assert re.match(r"os\.environ\.setdefault\(.*\)$", rest[-3])
    assert rest[-2].startswith("def _name_cuda_compiler()")
    assert rest[-1] == "_name_cuda_compiler()"


def test_what_is_imported_is_pinned_by_name():
    direct = (ROOT / "requirements.txt").read_text().partition("# Pulled in by")[0]
    pinned = set(re.findall(r"^([\w-]+)==", direct, re.MULTILINE))
    known = {*sys.stdlib_module_names, "drw_tf"}
    used = {name.split(".")[0] for path in MODULES.values() for name in imports(path)} - known
    assert {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in used} <= pinned
