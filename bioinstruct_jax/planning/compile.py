"""The very train step of a job, compiled for a TPU slice by the TPU's own compiler, on a machine that has no TPU."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioinstruct_jax import settings
from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.planning.slices import Slice
from bioinstruct_jax.planning.traffic import Collective


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by the compiler's count or by arithmetic.

    Attributes:
        arguments: weights, optimizer state and rows.
        temporaries: what the step makes and drops, and its own code: as much as there is at the worst moment.
        peak: both together.
    """

    arguments: int
    temporaries: int
    peak: int


@dataclass(frozen=True)
class Compiled:
    """A step that fits its slice.

    Attributes:
        mesh: devices along each axis.
        seconds: that tracing and compiling took here.
        unreadable: why the collectives are not known; then there are none in the list.
        versions: of jax and libtpu.
    """

    mesh: dict[str, int]
    memory: Memory
    seconds: float
    collectives: tuple[Collective, ...]
    versions: dict[str, str]
    unreadable: str | None = None


@dataclass(frozen=True)
class TooBig:
    """A step that does not fit. `needed` and `limit` are bytes on one device, None where the compiler does not say."""

    needed: int | None
    limit: int | None


@dataclass(frozen=True)
class Impossible:
    """A step that cannot be compiled for the slice, with the reason."""

    reason: str


class CompilerError(ValueError):
    """There is no TPU compiler here, or it failed in a way that says nothing about the job."""


def compile_for(job: Train, shape: Shape, steps: int, slice_: Slice, *, timeout: float) -> Any:
    """The job's step for a slice: Compiled, TooBig or Impossible.

    Args:
        shape: of the base, with its vocabulary size.
        steps: of the whole run; the learning rates are part of the program.
        timeout: seconds after which it is given up.

    Raises:
        CompilerError: libtpu is not installed, the process died, or it took longer than `timeout`.
    """
    check_installed()
    asked = {
        "job": settings.dump(job),
        "shape": settings.dump(shape),
        "steps": steps,
        "topology": slice_.topology,
    }
    with tempfile.TemporaryDirectory(prefix="bioinstruct-plan-") as folder:
        request, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        request.write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-m", "bioinstruct_jax.planning.compiler", str(request), str(answer)]
        try:
            ended = subprocess.run(
                command, env=environment(slice_), capture_output=True, text=True, errors="replace", timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise CompilerError(f"{slice_.name}: the compiler was stopped after {timeout:.0f} s") from None
        if ended.returncode or not answer.exists():
            last = " | ".join([line for line in ended.stderr.splitlines() if line.strip()][-3:])
            raise CompilerError(
                f"{slice_.name}: the compiler ended with code {ended.returncode}: {last or 'it said nothing'}"
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "out_of_memory" in found:
        return TooBig(found["needed"], found["limit"])
    if "impossible" in found:
        return Impossible(found["impossible"])
    return Compiled(
        found["mesh"],
        Memory(found["arguments"], found["temporaries"], found["peak"]),
        found["compile_seconds"],
        tuple(Collective(**one) for one in found["collectives"] or ()),
        found["versions"],
        found["unreadable"],
    )


def check_installed() -> None:
    """Raises CompilerError, with what to install, where libtpu is missing."""
    if importlib.util.find_spec("libtpu") is None:
        raise CompilerError(
            "the TPU's compiler is not installed: pip install 'bioinstruct-jax[plan]' (205 MB; no TPU is needed)"
        )


def environment(slice_: Slice) -> dict[str, str]:
    """This process's environment, so that libtpu compiles for `slice_` and looks for no TPU, cloud or neighbour."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TPU_", "JAX_", "XLA_", "LIBTPU"))
    }
    return kept | {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": slice_.accelerator_type,
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
