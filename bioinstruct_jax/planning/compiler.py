"""The child process of `compile.py`: it compiles one step for a slice and writes what it found.

    python -m bioinstruct_jax.planning.compiler REQUEST.json ANSWER.json

Its environment must be set before JAX starts, and libtpu takes one kind of chip for each process: hence the process.
"""

import dataclasses
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from bioinstruct_jax import settings
from bioinstruct_jax.config import Shape, Train


def main(request: str, answer: str) -> None:
    """Answers a request {job, shape, steps, topology}; what does not fit is an answer too."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    job = settings.loads(asked["job"], job=Train, where="the job to plan")
    shape = settings.loads(asked["shape"], job=Shape, where="the shape to plan")
    try:
        found = compiled(job, shape, asked["steps"], asked["topology"])
    except Exception as error:
        found = failure(error)
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def compiled(job: Train, shape: Shape, steps: int, topology: dict[str, Any]) -> dict[str, Any]:
    """Memory, traffic and seconds of the job's step.

    Raises:
        ValueError: a mesh or batch that cannot be divided.
        JaxRuntimeError: the compiler refuses; RESOURCE_EXHAUSTED if it does not fit.
    """
    import jax
    from jax.experimental import topologies

    from bioinstruct_jax.planning import traffic
    from bioinstruct_jax.training import optimizer, program, sharding, state
    from bioinstruct_jax.training.hlo import UnreadableError

    devices = topologies.get_topology_desc(platform="tpu", **topology).devices
    mesh = sharding.make_mesh(job.mesh, devices)
    plan = state.plan(job, shape, mesh)
    sharding.check_divisible(mesh, shape, plan.weights, job.training.batch_rows // job.training.micro_batches)
    begun = time.monotonic()
    lowered = program.lower(job, plan, optimizer.make_optimizer(job.optimizer, steps), mesh)
    step = lowered.compile(program.compiler_options(job, mesh))
    seconds = time.monotonic() - begun
    sent = unreadable = None
    memory, text = step.memory_analysis(), step.as_text()
    if memory is None or text is None or not memory.peak_memory_in_bytes:
        raise NotImplementedError("this version of JAX does not say what a compiled program needs")
    slices = [sharding.slice_of(device) for device in mesh.devices.flat]
    try:
        sent = [dataclasses.asdict(one) for one in traffic.collectives(text, slices)]
    except UnreadableError as error:
        unreadable = str(error)
    # What the compiler holds against the limit. Its `temp_size_in_bytes` is more than is ever there at once: of a step
    # of 7B on v5e-8 with 17 rows a chip it is 18.9 GiB, and the step fits the chip's 15.75.
    peak = memory.peak_memory_in_bytes + memory.generated_code_size_in_bytes
    return {
        "mesh": dict(mesh.shape),
        "arguments": memory.argument_size_in_bytes,
        "temporaries": peak - memory.argument_size_in_bytes,
        "peak": peak,
        "compile_seconds": round(seconds, 1),
        "collectives": sent,
        "unreadable": unreadable,
        "versions": {"jax": jax.__version__, "libtpu": libtpu_version()},
    }


def failure(error: Exception) -> dict[str, Any]:
    """What went wrong: {needed, limit} in bytes (None where not said) for too much memory, else {impossible}."""
    import jax

    text = str(error)
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in text:
        return {"out_of_memory": True} | needed(text)
    if isinstance(error, ValueError | jax.errors.JaxRuntimeError | NotImplementedError):
        return {"impossible": " ".join(text.split())[:500]}
    raise error


_SIZE = r"([\d.]+)([KMGT]?)i?B?"


def needed(text: str) -> dict[str, int | None]:
    """Bytes that a program needs and may have, from the compiler's own words.

    They are "Used 17.43G of 15.75G hbm." or "the total memory required for HLO temporaries (1.00T) exceeds available
    HBM (30.75G)".
    """
    found = re.search(rf"Used {_SIZE} of {_SIZE} hbm", text) or re.search(
        rf"required for [\w ]+ \({_SIZE}\) exceeds available HBM \({_SIZE}\)", text
    )
    if not found:
        return {"needed": None, "limit": None}
    powers = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return {
        "needed": int(float(found[1]) * powers[found[2]]),
        "limit": int(float(found[3]) * powers[found[4]]),
    }


def libtpu_version() -> str:
    """The version of the TPU compiler; PackageNotFoundError where there is none."""
    from importlib.metadata import version

    return version("libtpu")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
