"""Files from somebody else are data; what each reader does with bad ones is tested beside it."""

import pathlib

import drw_tf


def test_nothing_in_the_package_can_run_code_of_a_file():
    """Pickles are read by `array_pickle` alone; no eval, exec, marshal, yaml or unsafe Keras."""
    package = pathlib.Path(drw_tf.__file__).parent
    risky = ("import pickle", "eval(", "exec(", "marshal", "import yaml", "allow_pickle=True")
    unsafe = ("safe_mode=False", "enable_unsafe_deserialization", "joblib", "dill", "os.system")
    found = {
        (path.name, word)
        for path in package.rglob("*.py")
        for word in (*risky, *unsafe)
        if word in path.read_text(encoding="utf-8")
    }
    assert found == {("array_pickle.py", "import pickle")}
