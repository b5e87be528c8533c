"""The folder of one run: which files stand in it, whether it is finished, and whether it may be continued."""

import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from upath import UPath

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.files import path
from bioinstruct_jax.training.metrics import read_rows

PROTOCOLS = ("", "file", "local", "gs", "gcs", "s3")  # where orbax writes checkpoints
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
    """A run's files. `finished.json` is written last, after everything else was read back."""

    path: UPath

    @property
    def finished(self) -> bool:
        try:
            json.loads((self.path / "finished.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a torn file was being written when the machine died
            return False
        return True

    def check_metrics(self, first: int) -> None:
        """Refuse to go on from a checkpoint after step `first` if the metrics of the steps before it are not there.

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

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (self.path / name).write_text(text, encoding="utf-8")

    def write_lines(self, name: str, values: list[Any]) -> None:
        text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (self.path / name).write_text(text, encoding="utf-8")

    def write_environment(self, devices: list[str]) -> None:
        """Versions, devices and command, for whoever asks later why two runs differ."""
        self.write_json(
            "environment.json",
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "system": platform.system(),
                "packages": self.versions(),
                "devices": devices,
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

    def finish(self, made: str, start: dict[str, str] | None) -> None:
        """Record that the run is complete.

        Args:
            made: the folder of the adapter or model.
            start: name and hash of the adapter that training went on from.
        """
        self.write_json("finished.json", {"made": made, "start": start, **asdict(self.losses())})

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
            "your rows      python -m bioinstruct_jax.train tiny --name=mine --data.sources.0.path=YOUR_ROWS.jsonl",
        ]
        return "\n".join(lines)


def open_run(job: Train) -> RunFolder:
    """The run folder of a job: a new one, or the one that stands there if its settings are the same.

    Raises:
        ValueError: if a run of that name has other settings; names each that differs.
    """
    folder = path(job.runs_dir) / job.name
    saved = folder / "config.yaml"
    if folder.protocol not in PROTOCOLS:
        raise ValueError(
            f"runs_dir {job.runs_dir!r}: checkpoints can be written to local disk, gs:// and s3://, not to {folder.protocol}://"
        )
    # A run that failed before its first step binds nobody.
    if saved.exists() and any((folder / name).exists() for name in ("metrics.jsonl", "checkpoints")):
        old = settings.loads(saved.read_text(encoding="utf-8"), job=Train, where=str(saved))
        differences = settings.changes(old, job)
        if differences:
            raise ValueError(
                f"the run {folder} was started with other settings ({'; '.join(differences)}). "
                "Choose another --name, or undo the change to go on with this run"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        saved.write_text(settings.dump(job), encoding="utf-8")
    return RunFolder(folder)
