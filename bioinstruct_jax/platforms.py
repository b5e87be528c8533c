"""Which devices JAX may look for, settled before it is imported.

Where libtpu is installed on a machine without a TPU, as `plan` needs it, JAX would ask the cloud's metadata server for
one, for a minute or more where none answers, and print what it did not find.
"""

import importlib.util
import os
import pkgutil
from pathlib import Path

DEVICES = Path("/dev")


def settle(platform: str) -> None:
    """Sets JAX_PLATFORMS for `platform`: auto, cpu, gpu or tpu.

    For auto it is left to JAX, or to the user who has set it, unless libtpu is installed and there is no TPU: then it
    is the GPU that is there, else the CPU.
    """
    if platform != "auto":
        os.environ["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(platform, platform)
    elif "JAX_PLATFORMS" not in os.environ and importlib.util.find_spec("libtpu") and not has_tpu():
        os.environ["JAX_PLATFORMS"] = "cuda,cpu" if has_gpu() else "cpu"


def has_tpu() -> bool:
    """Whether a TPU is attached: up to v4 it is /dev/accel0 and so on, from v5e on a numbered group of /dev/vfio."""
    return (
        any(DEVICES.glob("accel[0-9]*")) or any(DEVICES.glob("vfio/[0-9]*")) or any(DEVICES.glob("accel/accel[0-9]*"))
    )


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is attached and JAX has its plug-in."""
    spec = importlib.util.find_spec("jax_plugins")
    names = [module.name for module in pkgutil.iter_modules(spec.submodule_search_locations or ())] if spec else []
    attached = any(DEVICES.glob("nvidia[0-9]*")) or (DEVICES / "dxg").exists()
    return attached and any(name.startswith("xla_cuda") for name in names)
