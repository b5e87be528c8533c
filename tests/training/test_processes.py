"""What several processes agree on is tested in tests/test_many_processes.py; here: how the loss of one is known."""

import errno

import jax
import pytest

from bioinstruct_jax.training.checkpoint import SaveError
from bioinstruct_jax.training.processes import lost


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _during(error: Exception, earlier: Exception) -> Exception:
    error.__context__ = earlier
    return error


GLOO = "UNKNOWN: Gloo all-reduce failed: [external/gloo/gloo/transport/tcp/pair.cc:547] Connection reset by peer"
SAVE = "the checkpoint of step 4 could not be written"


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError(GLOO),
        jax.errors.JaxRuntimeError("UNAVAILABLE: The following tasks are unhealthy"),
        _caused(SaveError(SAVE), jax.errors.JaxRuntimeError("INTERNAL: no reply")),
        _caused(SaveError(SAVE), ValueError(GLOO)),  # as orbax's thread raises it
        _caused(SaveError(SAVE), _during(ValueError("cancelled"), jax.errors.JaxRuntimeError(GLOO))),
        RuntimeError("DEADLINE_EXCEEDED: Barrier timed out. Id: checkpoint 4"),
    ],
    ids=str,
)
def test_a_lost_process_is_known_wherever_it_shows(error):
    # Mutations: only the error itself looked at; only its cause; only by its type; only by its text.
    assert lost(error)


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
        _caused(SaveError(SAVE), OSError(errno.ENOSPC, "No space left on device")),
        _caused(SaveError(SAVE), ValueError("OUT_OF_RANGE: Error writing: File too large [os_error_code='27']")),
        ValueError("data of process 1 is not that of process 0"),
        FileNotFoundError(errno.ENOENT, "no such file", "blood-brain barrier/gloomy.jsonl"),
    ],
    ids=str,
)
def test_other_errors_are_what_they_are(error):
    assert not lost(error)
