"""The folder of one run: which files stand in it, whether it is finished, and whether it may be continued."""

import json
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from upath import UPath

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.files import path
from bioinstruct_jax.training.metrics import read_rows

_PACKAGES = ("bioinstruct-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """A run's files. `finished.json` is written last, after everything else was read back."""

    path: UPath

    @property
    def finished(self) -> bool:
        return (self.path / "finished.json").exists()

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (self.path / name).write_text(text, encoding="utf-8")

    def write_lines(self, name: str, values: list[Any]) -> None:
        text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (self.path / name).write_text(text, encoding="utf-8")

    def write_environment(self, devices: list[str]) -> None:
        """Versions, devices and command, for whoever asks later why two runs differ."""
        versions = {name: metadata.version(name) for name in _PACKAGES}
        self.write_json(
            "environment.json",
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "system": platform.system(),
                "packages": versions,
                "devices": devices,
                "arguments": sys.argv[1:],
            },
        )

    def finish(self, made: str) -> None:
        """Record that the run is complete and what its metrics say; `made` is the folder of the adapter or model."""
        rows = read_rows(self.path / "metrics.jsonl")
        losses = [row["loss"] for row in rows if "loss" in row]
        held_out = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
        self.write_json(
            "finished.json",
            {
                "made": made,
                "steps": len(losses),
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "first_held_out_loss": held_out[0] if held_out else None,
                "last_held_out_loss": held_out[-1] if held_out else None,
            },
        )

    def summary(self) -> str:
        """Where everything is and what comes next, for the last lines on the screen."""
        found = json.loads((self.path / "finished.json").read_text(encoding="utf-8"))
        lines = [f"steps          {found['steps']}, training loss {found['first_loss']:.4f} -> {found['last_loss']:.4f}"]
        if found["last_held_out_loss"] is not None:
            lines.append(f"held-out loss  {found['first_held_out_loss']:.4f} -> {found['last_held_out_loss']:.4f}")
        lines += [
            f"{found['made']:<15}{self.path / found['made']}",
            f"report         {self.path / 'report.html'}",
            f"metrics        {self.path / 'metrics.jsonl'}, {self.path / 'loss.png'}",
            f"data           {self.path / 'data.json'}, {self.path / 'bad_rows.jsonl'}",
            "next           python -m bioinstruct_jax.train tiny --name=mine --data.sources.0.path=YOUR_ROWS.jsonl",
        ]
        return "\n".join(lines)


def open_run(job: Train) -> RunFolder:
    """The run folder of a job: made with its config.yaml, or the one that stands there if its settings are the same.

    Raises:
        ValueError: if a run of that name has other settings; names each that differs.
    """
    folder = path(job.runs_dir) / job.name
    saved = folder / "config.yaml"
    if saved.exists():
        old = settings.read(saved, Train)
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
