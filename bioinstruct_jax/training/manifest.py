"""What makes a folder a checkpoint: ``manifest.json``, written after everything else, with size and hash of every file.

Nothing is renamed and nothing rests on the order of a listing, so a bucket serves as well as a disk.
"""

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import Any

from upath import UPath

from bioinstruct_jax import files

MANIFEST = "manifest.json"
STATE = "state"  # the folder beside it that it vouches for
FORMAT = 1


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is complete: its step, what it belongs to, and the values it may be chosen by."""

    step: int
    about: dict[str, Any]
    metrics: dict[str, float]


def write(place: UPath, saved: Saved, settings: str) -> None:
    """Read back every file of ``state/`` and write down what it is; `settings` are for the reader."""
    content = {
        "format": FORMAT,
        "step": saved.step,
        "about": saved.about,
        "settings": settings,
        "metrics": saved.metrics,
        "files": {name: _size_and_hash(place / STATE / name) for name in _names(place / STATE)},
    }
    text = json.dumps(content | {"sha256": _digest(content)}, indent=1, sort_keys=True) + "\n"
    files.write_text(place / MANIFEST, text)
    files.settle(place / MANIFEST)


def read(place: UPath) -> Saved:
    """What the manifest says. Raises ValueError, or OSError, if there is none or it is not what was written."""
    return _saved(_content(place))


def verify(place: UPath) -> Saved:
    """As `read`, after every file was found to be what was written; raises ValueError that names one that is not."""
    content = _content(place)
    for name, expected in content["files"].items():
        if not (place / STATE / name).exists():
            raise ValueError(f"{STATE}/{name} is missing")
        if (found := _size_and_hash(place / STATE / name)) != expected:
            raise ValueError(f"{STATE}/{name} has {found[0]} bytes, {expected[0]} were written, or other ones")
    return _saved(content)


def remove(place: UPath) -> None:
    """Delete a checkpoint, its manifest first: what is left of it if this is interrupted is no checkpoint."""
    if not place.exists():
        return
    (place / MANIFEST).unlink(missing_ok=True)
    if files.is_local(place):
        shutil.rmtree(place.path)
    else:
        with contextlib.suppress(FileNotFoundError):  # the manifest was all that was left of it
            place.fs.rm(place.path, recursive=True)


def _saved(content: dict[str, Any]) -> Saved:
    return Saved(content["step"], content["about"], content["metrics"])


def _content(place: UPath) -> dict[str, Any]:
    if not (place / MANIFEST).exists():
        raise ValueError("it was never finished")
    content = json.loads(files.read_text(place / MANIFEST))
    if not isinstance(content, dict) or content.pop("sha256", None) != _digest(content):
        raise ValueError(f"{MANIFEST} is not what was written")
    if (content["format"], str(content["step"])) != (FORMAT, place.name):
        raise ValueError(f"its {MANIFEST} is of step {content['step']}, format {content['format']}")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _names(folder: UPath) -> list[str]:
    """Every file below a folder, by its path from there."""
    root = (folder.absolute() if files.is_local(folder) else folder).path.rstrip("/")  # `find` makes paths absolute
    return sorted(file[len(root) + 1 :] for file in folder.fs.find(root))


def _size_and_hash(file: UPath) -> list[int | str]:
    return [file.stat().st_size, files.sha256(file)]
