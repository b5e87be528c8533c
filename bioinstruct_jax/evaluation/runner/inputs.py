"""What scores depend on beside the settings, by digest: weights, predictions and corpora that lie here."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.runner import planned
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.evaluation.runner.questions import chosen_split
from bioinstruct_jax.resources import shipped_base
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import Task

WHOLE = 16 * 2**20  # bytes up to which a file is read from end to end
BLOCKS, BLOCK = 64, 2**16  # of a larger one, evenly over it
KEPT = (".json", ".jsonl", ".safetensors", ".bin", ".model")  # of a model's folder, or a folder of predictions


def inputs(job: Evaluate) -> dict[str, str]:
    """Digests by what they are of: ``<model>/model``, ``/adapter``, ``/predictions``, ``corpora/<task>/<split>``.

    What does not lie on this machine (hub ids, servers, buckets) is left out.
    """
    made: dict[str, str] = {}
    for one in job.models:
        places = {"model": one.model, "adapter": one.adapter, "predictions": one.predictions}
        made |= {f"{one.name}/{kind}": told for kind, name in places.items() if name and (told := place(name))}
    corpora = files.path(job.corpora)
    for name in planned.names(job, corpora) if corpora.is_dir() else ():
        if split := chosen_split(job, TASKS[name], corpora):
            made[f"corpora/{name}/{split}"] = corpus(TASKS[name], split, corpora)
    return made


def corpus(task: Task[Any, Any], split: str, corpora: UPath) -> str:
    """Hex SHA-256 of the names and digests of the files of a split."""
    names = [corpora / task.folder / name for name in task.split(split).files]
    found = [inner for name in names for inner in (sorted(name.rglob("*")) if name.is_dir() else [name])]
    told = [f"{file.name} {_whole(file)}\n" for file in found if file.is_file()]
    return hashlib.sha256("".join(told).encode()).hexdigest()


def place(name: str) -> str:
    """Hex SHA-256 of a file, or of a folder with what stands one level below; empty where there is none."""
    here = Path(str(shipped_base(name) or name)).expanduser()
    if here.is_file():
        return _file(here)
    found = sorted(one for pattern in ("*", "*/*") for one in here.glob(pattern) if one.suffix in KEPT)
    told = [f"{one.relative_to(here)} {_file(one)}\n" for one in found if one.is_file()]
    return hashlib.sha256("".join(told).encode()).hexdigest() if told else ""


def _file(file: Path) -> str:
    state = file.stat()
    return _digest(str(file.resolve()), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(name: str, size: int, changed: int) -> str:
    """Of a file as long as it stays the same; of a large one by its size and blocks of it, which is quick."""
    digest = hashlib.sha256(str(size).encode())
    with open(name, "rb") as stream:
        if size <= WHOLE:
            digest.update(stream.read())
        else:
            for number in range(BLOCKS):
                stream.seek((size - BLOCK) * number // (BLOCKS - 1))
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()


def _whole(file: UPath) -> str:
    if not files.is_local(file):
        return files.sha256(file)
    state = file.stat()
    return _read_through(file.path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read_through(name: str, size: int, changed: int) -> str:
    return files.sha256(files.path(name))
