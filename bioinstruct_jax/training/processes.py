"""Several processes that run one job: how they find each other, and what they agree on.

Every process runs the same statements. Process 0 alone writes text files and talks; arrays are everybody's.
"""

import hashlib
import re

import jax
import numpy as np
from jax.experimental import multihost_utils

HEARTBEAT = 60  # seconds after which a process that is silent counts as dead
TIMEOUT = 300  # seconds to find each other
_MISTAKES = ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED")  # XLA's names of what is no loss
_SIGNS = re.compile(r"\bGloo\b|/gloo/|\bNCCL\b|CoordinationService|heartbeat|Barrier timed out")


def join(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Make this process one of a job's; call it before anything else of JAX.

    Args:
        coordinator, count, index: ``host:port`` of process 0, number of processes, and which this one is; all None
            where the platform knows them itself (TPU pods, Slurm, Open MPI, Kubernetes).

    Raises:
        ValueError: the platform does not say, or the others are not found in time.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            initialization_timeout=TIMEOUT,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except (ValueError, RuntimeError) as error:
        where = f"{coordinator}, process {index} of {count}" if coordinator else "where this platform should say"
        raise ValueError(f"the processes of this job do not find each other ({where}): {error}") from error


def first() -> bool:
    """Whether this is the process that writes and talks."""
    return jax.process_index() == 0


def meet(name: str) -> None:
    """Wait until every process has come here."""
    if jax.process_count() > 1:
        with jax.transfer_guard("allow"):  # it is called from within the loop, which forbids what nobody asked for
            multihost_utils.sync_global_devices(name)


def agreed(value: int) -> int:
    """Process 0's value."""
    if jax.process_count() == 1:
        return value
    with jax.transfer_guard("allow"):
        return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def check_same(what: str, value: str) -> None:
    """Refuse to go on if the processes differ in what must be the same.

    Raises:
        ValueError: in every process, naming what differs.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint32)
    all_ = np.asarray(multihost_utils.process_allgather(own)).reshape(-1, len(own))
    others = [i for i in range(len(all_)) if not np.array_equal(all_[i], all_[0])]
    if others:
        raise ValueError(
            f"{what} of process {', '.join(map(str, others))} is not that of process 0; here it is {value[:200]}. "
            "Every process needs the same settings, files and versions"
        )


def awaited() -> bool:
    """Whether other processes would wait for the end of this one."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def lost(error: BaseException) -> bool:
    """Whether an error of one of several processes, or what led to it, is that another ended or cannot be reached.

    A collective that fails is an error of whoever waits for its result: of the loop, of a barrier, or of the orbax
    thread that copies an array, which raises it as one of its own.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    runtime = (str(link) for link in chain if isinstance(link, jax.errors.JaxRuntimeError))
    return any(not text.startswith(_MISTAKES) for text in runtime) or any(_SIGNS.search(str(link)) for link in chain)
