"""What `python -m drw_tf.evaluate` refuses before it opens a run."""

import pytest

from drw_tf import config as configuration
from drw_tf import evaluate


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out="], "--out must be the name of a file, got ''."),
        (["--as_method="], "--as_method must be one of drw_la for a run of drw, got ''."),
    ],
)
def test_what_has_no_name_is_refused(tmp_path, capsys, words, message):
    (tmp_path / "checkpoints" / "step_000000100").mkdir(parents=True)
    (tmp_path / "config.json").write_text(configuration.resolve({"method": "drw"}).to_json())
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["evaluate", f"--workdir={tmp_path}", *words])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"evaluate: {message}\n"
