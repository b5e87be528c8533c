"""The numbers of a run: `metrics.jsonl`, the same bytes for the same run, `timing.jsonl`, and trackers that copy them.

One JSON object a line, `step` first. Floats are written as float32, in the fewest digits that read back to the same
float32. JSON has no NaN and no infinity: they are written as the texts "NaN", "Infinity" and "-Infinity", which
Python's `float()` reads. Nothing here imports JAX: give host values (`jax.device_get`), Python's or NumPy's.
"""

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

import numpy as np
from upath import UPath

from bioinstruct_jax.files import is_local, make_folder
from bioinstruct_jax.settings import SettingsError

log = logging.getLogger(__name__)
Value = int | float | str | None | np.generic | np.ndarray

_BETWEEN_UPLOADS = 60.0  # seconds; a bucket object cannot grow, so each upload writes the whole file


class MetricsError(ValueError):
    """A metrics file of an earlier run cannot be continued."""


class Tracker(Protocol):
    """Where rows are also sent."""

    def write(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class Rows:
    """A file of JSON rows that grows by one row at a time and can be continued at a step.

    Args:
      file: on local disk each row is appended and flushed at once; in a bucket the whole file is written again at
        `flush`, at `close`, and when a minute has passed since the last time.
      after: the step of the checkpoint that the run goes on from: rows up to that step are kept byte for byte, later
        ones and a torn last line are cut off. 0: begin with an empty file.

    Raises:
      MetricsError: a line that is no row stands before the last one.
    """

    def __init__(self, file: UPath, after: int = 0) -> None:
        self.file = file
        self._local = is_local(file)
        old = file.read_bytes() if file.exists() else b""
        self._text = _up_to(old, after, file) if after else b""
        make_folder(file.parent)
        if self._local and old.startswith(self._text):  # cut off, for writing it again could be interrupted
            with file.open("ab") as stream:
                stream.truncate(len(self._text))
        else:
            file.write_bytes(self._text)
        self._stream = file.open("ab") if self._local else None
        self._dirty, self._uploaded = False, time.monotonic()

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """Add the row {"step": step, **values}."""
        line = row(step, values).encode()
        if self._stream:
            self._stream.write(line)
            self._stream.flush()
            return
        self._text += line
        self._dirty = True
        if time.monotonic() - self._uploaded > _BETWEEN_UPLOADS:
            try:
                self.flush()
            except Exception as error:  # the rows are still here, and the next checkpoint needs them there
                self._uploaded = time.monotonic()
                log.warning("%s cannot be written now (%s: %s)", self.file, type(error).__name__, error)

    def flush(self) -> None:
        """Have every row in the file. Call it before a checkpoint is made, so that no checkpoint is ahead of it."""
        if self._stream:
            os.fsync(self._stream.fileno())
        if self._dirty:
            self.file.write_bytes(self._text)
            self._dirty, self._uploaded = False, time.monotonic()

    def close(self) -> None:
        self.flush()
        if self._stream:
            self._stream.close()


class Metrics:
    """`metrics.jsonl` and `timing.jsonl` of a run folder, and the tracker that gets a copy of both.

    Args:
      folder: the run folder, local or in a bucket.
      after: step of the checkpoint that the run goes on from; 0: a new run.
      tracker: what `open_tracker` gave, or None.
    """

    def __init__(self, folder: UPath, *, after: int = 0, tracker: Tracker | None = None) -> None:
        self._metrics = Rows(folder / "metrics.jsonl", after)
        self._timing = Rows(folder / "timing.jsonl", after)
        self._tracker = tracker

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """A row of deterministic values: loss, grad_norm, learning_rate, target_tokens, held_out_loss, ..."""
        self._metrics.write(step, values)
        self._track(step, values)

    def time(self, step: int, values: Mapping[str, Value]) -> None:
        """A row of what differs from run to run: seconds, tokens_per_second, mfu, hfu, ..."""
        self._timing.write(step, values)
        self._track(step, values)

    def flush(self) -> None:
        self._metrics.flush()
        self._timing.flush()

    def close(self) -> None:
        """Close every file and the tracker, whatever becomes of the others."""
        with contextlib.ExitStack() as stack:  # each of them, whatever becomes of the others
            if self._tracker:
                stack.callback(self._tracker.close)
            stack.callback(self._timing.close)
            stack.callback(self._metrics.close)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except Exception:
            if kind is None:  # else what ended the run is told, not that the bucket takes no rows either
                raise

    def _track(self, step: int, values: Mapping[str, Value]) -> None:
        if self._tracker:
            plain = {name: _plain(name, value) for name, value in values.items()}
            numbers = {name: float(value) for name, value in plain.items() if isinstance(value, int | float)}
            self._tracker.write(step, numbers)


def row(step: int, values: Mapping[str, Value]) -> str:
    """One line of a metrics file, with its line end. Raises ValueError for a value that is no single number or text."""
    shown: dict[str, int | float | str | None] = {"step": step}
    for name, value in values.items():
        plain = _plain(name, value)
        if isinstance(plain, float) and not math.isfinite(plain):
            plain = "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
        shown[name] = plain
    return json.dumps(shown, ensure_ascii=False, allow_nan=False) + "\n"


def read_rows(file: UPath) -> list[dict[str, int | float | str | None]]:
    """The rows of a metrics file, without a torn last line. Raises MetricsError for any other line that is no row."""
    return [json.loads(line) for line in _up_to(file.read_bytes(), None, file).splitlines()]


def _plain(name: str, value: Value) -> int | float | str | None:
    """`value` as Python's own type; a float as the double whose shortest digits are those of the float32."""
    if value is None or isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind in "OSUcmM":
        raise ValueError(f"metric {name!r} is {value!r}: give one number, text or None")
    if array.dtype.kind in "iu":
        return int(array)
    if array.dtype.kind == "b":
        return bool(array)
    with np.errstate(over="ignore"):  # beyond float32 is infinity
        return float(str(array.astype(np.float64).astype(np.float32)))


def _up_to(text: bytes, last: int | None, file: UPath) -> bytes:
    """The lines of `text` with a step of at most `last` (None: all), without a torn last line."""
    kept = []
    lines = text.split(b"\n")[:-1]  # what follows the last line end was torn
    for number, line in enumerate(lines, 1):
        try:
            step = json.loads(line)["step"]
            if not isinstance(step, int):
                raise TypeError
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break
            raise MetricsError(
                f"{file}:{number}: {line[:80]!r} is no metrics row; the run cannot go on from this file. "
                "Remove the line, or start a run with another name"
            ) from None
        if last is None or step <= last:
            kept.append(line + b"\n")
    return b"".join(kept)


def open_tracker(kind: str, folder: UPath, *, name: str, settings: Mapping[str, object]) -> Tracker | None:
    """The tracker of the setting `track`: 'none', 'tensorboard' (in the run folder) or 'wandb' (its own login rules).

    Raises:
      SettingsError: the package is not installed, or TensorBoard is asked to write to a bucket.
    """
    match kind:
        case "tensorboard":
            return TensorBoard(folder)
        case "wandb":
            return WeightsAndBiases(folder, name, settings)
    return None


class TensorBoard:
    """Event files in <run folder>/tensorboard, written by tensorboardX."""

    def __init__(self, folder: UPath) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise _missing("tensorboard", "tensorboardX") from None
        if not is_local(folder):
            raise SettingsError(f"track: tensorboard writes to local disk only, and the run folder is {folder}")
        self._writer = SummaryWriter((folder / "tensorboard").path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run in the project 'bioinstruct-jax'; a run that goes on is found again by its name."""

    def __init__(self, folder: UPath, name: str, settings: Mapping[str, object]) -> None:
        try:
            import wandb
        except ImportError:
            raise _missing("wandb", "wandb") from None
        local = folder.path if is_local(folder) else None
        try:
            self._run = wandb.init(
                project="bioinstruct-jax", name=name, id=name, resume="allow", dir=local, config=dict(settings)
            )
        except wandb.Error as error:
            raise SettingsError(
                f"track: wandb cannot start: {error}. Set WANDB_API_KEY or WANDB_MODE=offline"
            ) from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _missing(track: str, package: str) -> SettingsError:
    return SettingsError(f"track: {track} needs the package {package}: pip install 'bioinstruct-jax[track]'")
