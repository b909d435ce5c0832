"""What the README says of names and files is true."""

import pathlib
import re

from drw_tf import config as configuration
from drw_tf import flag_table, protocols, recipes

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_table_of_methods_is_that_of_the_recipes():
    for name, recipe in recipes.RECIPES.items():
        assert f"| `{name}` | {recipe.help} |" in TEXT


def test_every_data_set_is_named():
    for name in protocols.DATASETS:
        assert f"`{name}`" in TEXT, name


def resolve(*words):
    return configuration.resolve(configuration.parse(["train", *words]))


def rows_of_data_sets():
    """`--dataset`, protocol and steps, as the table has them."""
    for names, protocol, steps in re.findall(
        r"^\| (`[^|]*) \| [^|]* \| `(\w+)`, ([\d,]+) steps \| [^|]* \|$", TEXT, re.MULTILINE
    ):
        for name in re.findall(r"`([^`]+)`", names):
            yield name.replace("<name>", "mnist"), protocol, int(steps.replace(",", ""))


def test_protocol_and_length_of_each_data_set_are_as_the_table_says(tmp_path):
    rows = list(rows_of_data_sets())
    assert {name for name, *_ in rows} == {*protocols.DATASETS} - {"tfds"} | {"tfds:mnist"}
    needed = {"folder": "labeled_dir", "csv": "labels_csv", "imagenet127": "data_dir"}
    for name, protocol, steps in rows:
        more = [f"--{needed[name]}={tmp_path}"] if name in needed else []
        more += ["--data_dir=x"] if name.startswith("small_") else []
        got = resolve(f"--dataset={name}", *more)
        assert (got.protocol, got.steps) == (protocol, steps), name


def test_defaults_of_own_pictures_are_as_told():
    got = resolve("--dataset=folder", "--labeled_dir=x")
    pairs = f"{got.batch_size} labeled and {got.batch_size * got.unlabeled_ratio} unlabeled"
    size = got.image_size
    assert (
        f"DRw with the `{got.protocol}` protocol; WideResNet-16-2 on pictures of {size} x "
        f"{size} (`--image_size`); {pairs} pictures a step; {got.steps:,} steps in "
        f"epochs of {got.steps_per_epoch};\n  a threshold of {str(got.threshold).lstrip('0')}, "
    ) in TEXT
    start = str(got.reweight_start).lstrip("0")
    assert f"unlabeled weights from {start} of the steps on (`--reweight_start`). `--" in TEXT
    assert (got.method, got.model) == ("drw", "wide_resnet_16_2")
    assert f"`--in_memory_gigabytes` ({got.in_memory_gigabytes:g})" in TEXT
    for side, crop in ((95, "shift"), (96, "resized")):
        assert resolve("--dataset=folder", "--labeled_dir=x", f"--image_size={side}").crop == crop
    for words in (["--dataset=folder", "--labeled_dir=x"], ["--dataset=csv", "--labels_csv=x"]):
        assert resolve(*words).validation_per_class == 0
        assert resolve(*words, "--validation_per_class=2").validation_per_class == 2


def test_every_flag_and_file_in_it_exists():
    own = {"slow", "fresh", "helpmethods", "help", "out", "methods", "seeds", "results", "images"}
    own |= {"flagfile", "logdir", "dir", "all", "python", "helpfull", "try_beta", "as_method"}
    own |= {"draw", "list", "step", "reference", "runs"}
    known = {flag.name for flag in flag_table.FLAGS} | own
    for script in set(re.findall(r"scripts/\w+\.py", TEXT)):
        known |= set(re.findall(r'DEFINE_\w+\("(\w+)"', (ROOT / script).read_text()))
    for path in re.findall(r"\]\((?!https:)([\w./]+)", TEXT):
        assert (ROOT / path).exists(), path
    assert set(re.findall(r"--([a-z][a-z_]*)", TEXT)) <= known
    for path in re.findall(r"(?:drw_tf|scripts|flags)/[\w/]+\.\w+", TEXT):
        assert (ROOT / path).exists(), path


def test_every_anchor_that_is_linked_to_is_a_heading():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for path, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", page.read_text()):
            target = (page.parent / path) if path else page
            assert anchor in anchors(target.read_text()), f"{page.name}: {path}#{anchor}"


def anchors(text):
    """Of the headings of a page, as GitHub makes them."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_part_in_the_picture_exists_and_no_package_is_missing():
    picture = (ROOT / "docs" / "structure.svg").read_text()
    titles = re.findall(r'class="name"[^>]*>([^<]+)<', picture)
    named = {name for title in titles for name in title.split(", ")}
    folder = ROOT / "drw_tf"
    for name in named:
        assert (folder / name).is_dir() or (folder / f"{name}.py").exists(), name
    assert {path.parent.name for path in folder.glob("*/__init__.py")} <= named
    for name in re.findall(r"\w+\.py", picture):
        assert any(folder.rglob(name)), name
