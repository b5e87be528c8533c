"""The folder of one run: which files stand in it, whether it is finished, and whether it may be continued."""

import difflib
import json
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from upath import UPath

from bioinstruct_jax import settings
from bioinstruct_jax.config import Mesh, Train
from bioinstruct_jax.files import make_folder, path, read_text
from bioinstruct_jax.scoring_settings import Scoring
from bioinstruct_jax.training.metrics import read_rows

CONFIG = "config.yaml"  # the first file of a run, and the sign that the folder is one
EARLY = {CONFIG, "data.json", "rows.jsonl", "bad_rows.jsonl", "base", "tensorboard", "wandb"}  # before the first row
PROTOCOLS = ("file", "local", "gs", "gcs")  # where orbax writes checkpoints; it has no way to s3://
_KEY = re.compile(r"^[ -]*\w+(?=:)", re.MULTILINE)  # of a line of settings, with its indent
_PACKAGES = ("bioinstruct-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers", "numpy")


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropies in nats a target token: first and last step, held-out rows before and after."""

    steps: int
    first: float
    last: float
    held_out_first: float | None
    held_out_last: float | None


@dataclass(frozen=True)
class RunFolder:
    """A run's files. `finished.json` is written last, after everything else was read back.

    Attributes:
        writes: whether this process writes them; of several, the first alone does.
    """

    path: UPath
    writes: bool = True

    @property
    def finished(self) -> bool:
        """Whether the run has ended: finished.json is there and whole."""
        try:
            json.loads((self.path / "finished.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a torn file was being written when the machine died
            return False
        return True

    def metrics_up_to(self, first: int) -> list[dict[str, Any]]:
        """The rows of all steps up to `first`, that of the checkpoint which the run goes on from.

        Raises:
            ValueError: naming the file and how many steps it has.
        """
        file = self.path / "metrics.jsonl"
        rows = read_rows(file) if file.exists() else []
        found = {row["step"] for row in rows if "loss" in row}
        missing = [step for step in range(1, first + 1) if step not in found]
        if missing:
            raise ValueError(
                f"{file} lacks {len(missing)} of the {first} steps before the newest checkpoint (the first is step "
                f"{missing[0]}): put the file back, or start a run with another --name"
            )
        return [row for row in rows if int(row["step"] or 0) <= first] if first else []

    def keep_settings(self, job: Train) -> None:
        """Write down settings that were changed and accepted."""
        file, text = self.path / CONFIG, settings.dump(job)
        old = settings.loads(file.read_text(encoding="utf-8"), job=Train, where=str(file))
        if self.writes and changes(old, job):
            file.write_text(text, encoding="utf-8")

    def write_json(self, name: str, value: Any) -> None:
        """Write a file of the run, keys in order; nothing in processes that do not write."""
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        if self.writes:
            (self.path / name).write_text(text, encoding="utf-8")

    def write_lines(self, name: str, values: list[Any]) -> None:
        """Write JSON lines; nothing in processes that do not write."""
        text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        if self.writes:
            (self.path / name).write_text(text, encoding="utf-8")

    def write_environment(
        self, devices: list[str], mesh: dict[str, int], processes: int, compiler_options: dict[str, str | bool]
    ) -> None:
        """Versions, devices, compiler options and command, for whoever asks later why two runs differ."""
        self.write_json(
            "environment.json",
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "system": platform.system(),
                "packages": self.versions(),
                "devices": devices,
                "mesh": mesh,
                "processes": processes,
                "compiler_options": compiler_options,
                "arguments": sys.argv[1:],
            },
        )

    def losses(self) -> Losses:
        """What the metrics say of the whole run."""
        rows = read_rows(self.path / "metrics.jsonl")
        held_out = [float(row["held_out_loss"] or 0) for row in rows if "held_out_loss" in row]
        trained = [float(row["loss"] or 0) for row in rows if "loss" in row]
        return Losses(
            steps=len(trained),
            first=trained[0],
            last=trained[-1],
            held_out_first=held_out[0] if held_out else None,
            held_out_last=held_out[-1] if held_out else None,
        )

    def versions(self) -> dict[str, str]:
        return {name: metadata.version(name) for name in _PACKAGES}

    def finish(self, made: str, start: dict[str, str] | None, step: int) -> None:
        """Record that the run is complete.

        Args:
            made: the folder of the adapter or model.
            start: name and hash of the adapter that training went on from.
            step: after which it is what was made.
        """
        self.write_json("finished.json", {"made": made, "start": start, "step": step, **asdict(self.losses())})

    def summary(self) -> str:
        """Where everything is and what comes next, for the last lines on the screen."""
        found = json.loads((self.path / "finished.json").read_text(encoding="utf-8"))
        lines = [f"steps          {found['steps']}, loss {found['first']:.4f} -> {found['last']:.4f}"]
        if found["held_out_last"] is not None:
            lines.append(f"held-out loss  {found['held_out_first']:.4f} -> {found['held_out_last']:.4f}")
        where = f"--adapter={self.path}" if found["made"] == "adapter" else f"--model={self.path / found['made']}"
        lines += [
            f"{found['made']:<15}{self.path / found['made']}",
            f"report         {self.path / 'report.html'}",
            f"metrics        {self.path / 'metrics.jsonl'}, {self.path / 'loss.png'}",
            f"data           {self.path / 'data.json'}, {self.path / 'bad_rows.jsonl'}",
            f"try it         python -m bioinstruct_jax.chat {where}",
            "your rows      python -m bioinstruct_jax.train small --name=mine --data.sources.0.path=YOUR_ROWS.jsonl",
        ]
        return "\n".join(lines)


def open_run(job: Train, *, writes: bool = True, accept_changes: bool = False) -> RunFolder:
    """The run folder of a job: a new one, or the one that stands there if its settings are the same.

    Where a run computes and what it keeps may change on the way: mesh, platform, determinism, tracker and so on.

    Args:
        writes: false for all but the first of several processes; call it there first.
        accept_changes: other settings are taken; `keep_settings` writes them down once they can be used.

    Raises:
        ValueError: if a run of that name has other settings; names each that differs. Or if the folder holds what no
            run wrote: nothing is overwritten.
    """
    protocol, mark, _ = job.runs_dir.partition("://")
    if mark and protocol not in PROTOCOLS:
        raise ValueError(
            f"runs_dir {job.runs_dir!r}: checkpoints can be written to local disk and to gs://, not to {protocol}://"
        )
    folder = path(job.runs_dir) / job.name
    if (old := begun(folder)) is not None:
        if (differences := changes(old, job)) and not accept_changes:
            raise ValueError(
                f"the run {folder} was started with other settings ({'; '.join(differences)}). "
                "Choose another --name, or undo the change to go on with this run, or pass --accept_changes"
            )
    elif writes:
        try:
            if not _free(folder, job):
                raise ValueError(
                    f"the run folder {folder} is no run and not empty: nothing is overwritten. Give another --name, or "
                    "another --runs_dir=FOLDER"
                )
            make_folder(folder)
            (folder / CONFIG).write_text(settings.dump(job), encoding="utf-8")
        except OSError as error:
            raise OSError(
                f"runs_dir {job.runs_dir!r}: the run folder {folder} cannot be made ({error}); "
                "give a folder that can be written, with --runs_dir"
            ) from error
    elif not folder.exists():
        raise ValueError(
            f"{folder}: process 0 made this run folder, and it is not here: runs_dir must be the same place for all "
            "processes, a bucket or a shared disk"
        )
    return RunFolder(folder, writes)


def begun(folder: UPath) -> Train | None:
    """The settings of the run that was begun in a folder; None: none was, or none that came to its first step.

    Raises SettingsError where they are damaged, or not of this version.
    """
    saved = folder / CONFIG
    if saved.exists() and any((folder / name).exists() for name in ("metrics.jsonl", "checkpoints", "finished.json")):
        text = read_text(saved)
        return settings.loads(text, job=Train, where=str(saved)) if settings.holds(text, Train) else None
    return None


def _free(folder: UPath, job: Train) -> bool:
    """Whether a run may begin in a folder: a new or empty one, or that of a run that never came to its first step.

    That holds what `train` writes before its metrics and nothing else, and settings as some version of it writes them,
    whole or cut off by its end.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    # The empty object that a bucket's console makes for a folder is listed as a file of the folder's own name.
    held = {file.name for file in found if file.name != folder.name or file.exists()}
    if CONFIG not in held:
        return not held
    if not held <= EARLY | {"environment.json", "timing.jsonl"}:  # also where its metrics were taken away
        return False
    written = (folder / CONFIG).read_bytes()
    if settings.dump(job).encode().startswith(written):
        return True
    try:
        if settings.dump(settings.loads(written.decode(), job=Train, where=CONFIG)).encode() == written:
            return True
    except ValueError:  # torn, or of another version
        pass
    return _written(written.decode(errors="replace"), settings.dump(job))


def _written(text: str, ours: str) -> bool:
    """Whether a settings file has nearly all keys of ours up to its last, in order, as none written by hand has."""
    theirs, wanted = _KEY.findall(text), _KEY.findall(ours)
    same = difflib.SequenceMatcher(None, wanted, theirs, autojunk=False).get_matching_blocks()
    reached = max((block.a + block.size for block in same if block.size), default=0)
    return settings.holds(text, Train) and 4 * sum(block.size for block in same) > 3 * reached


def changes(old: Train, new: Train) -> list[str]:
    """What differs between the settings of a run and those it would go on with, a line each; not what may change."""
    return settings.changes(_free_to_change(old), _free_to_change(new))


def _free_to_change(job: Train) -> Train:
    """The job with one value for whatever may change while a run goes on."""
    training = replace(job.training, keep_checkpoints=1, save_failures=0, profile_steps=0, profile_after=0)
    evaluation = replace(job.evaluation, corpora=Scoring().corpora)
    same = {"mesh": Mesh(), "platform": "auto", "deterministic": False, "track": "none"}
    sources = tuple(replace(one, path=_whole(one.path)) for one in job.data.sources)
    data = replace(job.data, sources=sources)
    whole = {"runs_dir": _whole(job.runs_dir), "data": data}
    return replace(job, training=training, evaluation=evaluation, **whole, **same)  # type: ignore[arg-type]


def _whole(place: str) -> str:
    """A path in full, so that one folder has one name; not for buckets and hub ids."""
    return place if "://" in place else os.path.abspath(os.path.expanduser(place))
