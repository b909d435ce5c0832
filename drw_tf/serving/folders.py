"""A folder that is written beside and takes the place of an earlier one when it is complete."""

import os
import pathlib
import shutil
import tempfile

import tensorflow as tf

KERAS_FILE = "ema.keras"
CARD = "MODEL_CARD.md"
# What an export consists of; a folder with anything else in it is not overwritten.
PARTS = frozenset(
    (
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "saved_model.pb",
        "variables",
        KERAS_FILE,
        CARD,
    )
)


class ExportError(RuntimeError):
    """Nothing was exported; an earlier export is as it was. One line for the user."""


class Replacement:
    """Context: an empty folder that takes the place of `target` if all goes well."""

    def __init__(self, target: str | os.PathLike):
        # Absolute, so that "." has a name and a parent, too.
        self.target = pathlib.Path(os.path.abspath(target))
        self._aside = None

    def __enter__(self) -> pathlib.Path:
        try:
            self._refuse_others()
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._aside = pathlib.Path(
                tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent)
            )
            (self._aside / "new").mkdir()
        except OSError as error:
            raise ExportError(f"{self.target} cannot be written: {error.strerror}.") from None
        return self._aside / "new"

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self._replace()
        except OSError as failed:
            error = failed
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)
        if isinstance(error, OSError | tf.errors.OpError):
            text = " ".join(str(error).split())[:300]
            raise ExportError(f"{self.target} was not written: {text}") from error

    def _refuse_others(self) -> None:
        if self.target.is_dir():
            others = sorted({path.name for path in self.target.iterdir()} - PARTS)
            if others:
                raise ExportError(
                    f"{self.target} must be new or an earlier export, it has {others[0]} in it."
                )
        elif self.target.exists():
            raise ExportError(f"{self.target} must be a folder, it is a file.")

    def _replace(self) -> None:
        earlier = self._aside / "old"
        if self.target.exists():
            os.rename(self.target, earlier)
        try:
            os.rename(self._aside / "new", self.target)
        except OSError:
            if earlier.exists():
                os.rename(earlier, self.target)
            raise
