"""Eight CPU devices for every test; real corpora where BIOINSTRUCT_DATA names them."""

import os
from pathlib import Path

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real corpora; skips the test where there is none."""
    if "BIOINSTRUCT_DATA" not in os.environ:
        pytest.skip("BIOINSTRUCT_DATA is not set")
    return Path(os.environ["BIOINSTRUCT_DATA"])
