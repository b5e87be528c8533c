"""Eight CPU devices for every test; real corpora where BIOINSTRUCT_DATA names them."""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no failure: speed is measured by tests/benchmarks.
untimed = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("untimed", **untimed)
hypothesis.settings.load_profile("untimed")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite that was started in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or no test's child would hear a Ctrl-C
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_CPU_ENABLE_ASYNC_DISPATCH"] = "false"  # eight devices on two cores deadlock with programs in flight
# Most of the time goes into compiling, and most of that into making the machine code fast, which tests hardly run. The
# graph is optimised as ever: fusions and memory are those of a run. Whoever wants fast code says so in XLA_FLAGS.
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_backend_optimization_level=0", os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8"]
)
# gcsfs asks the real cloud by gRPC of which kind a bucket is, and waits for minutes where there is no network.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# Many tests compile the same small programs: each is compiled once a session, for all workers of `-n`.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="bioinstruct-jax-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A slow test has half an hour, on a machine that does other things, too."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real corpora; skips the test where there is none."""
    if "BIOINSTRUCT_DATA" not in os.environ:
        pytest.skip("BIOINSTRUCT_DATA is not set")
    return Path(os.environ["BIOINSTRUCT_DATA"])


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The run folder of a finished run of `tests.tiny_run`."""
    from bioinstruct_jax import train
    from tests.tiny_run import write

    folder = tmp_path_factory.mktemp("finished")
    assert train.main([str(write(folder))]) == 0
    return folder / "runs" / "run"


@pytest.fixture(scope="session")
def this():
    """The job of `tests.small`, ready to step; no test gives its buffers away."""
    from tests.small import job, ready

    return ready(job())


@pytest.fixture
def said() -> list[str]:
    """What the code under test is to tell: give its `append`."""
    return []
