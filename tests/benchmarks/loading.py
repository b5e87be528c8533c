"""How long reading a model takes and how much memory beyond it, here and by `transformers.from_pretrained`.

    python -m tests.benchmarks.loading

Writes a LLaMA of random bfloat16 numbers in four safetensors files (2 GB unless --megabytes says otherwise) into a
temporary folder, never holding more than one tensor. Then fresh processes load it in bfloat16 on the CPU, ours and
theirs in turn, after every file was read once so that all find it in the page cache. Each reports

- seconds: of `hub_weights.load` into one device's arrays, or of `LlamaForCausalLM.from_pretrained`. Imports and, for
  ours, the start of JAX are done before. Both end with every number looked at once more (a maximum), because torch maps
  the files and would otherwise have read little of them. Theirs leaves the numbers where they are, in the page cache;
  ours copies them, turned and stacked over layers, and looks for NaN and infinity. That is most of the difference.
- peak: the process's largest resident memory during the call, less what was resident before it. Beyond: peak less the
  bytes of the model. Pages of a mapped file count as resident memory, though the system may take them back.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

FILES = 4
MB = 1e6


class Loaded(NamedTuple):
    """One process's reading: seconds, largest resident bytes beyond those before the call, bytes of the model."""

    seconds: float
    peak: int
    size: int


def write_model(folder: Path, megabytes: int) -> int:
    """A model of about so many megabytes in four files, tensor by tensor; returns the bytes of one of its layers."""
    from upath import UPath

    from bioinstruct_jax.config import Shape
    from bioinstruct_jax.interop import hub_config, hub_weights
    from bioinstruct_jax.interop.hub_folder import hub_tensors
    from bioinstruct_jax.model.weights import base_weights, parameter_count

    small = megabytes < 1000
    one_layer = Shape(
        vocab_size=8000 if small else 32000,
        hidden_size=1024 if small else 2048,
        intermediate_size=2816 if small else 5632,
        num_hidden_layers=1,
        num_attention_heads=16,
        num_key_value_heads=4,
    )
    layer = sum(weight.size for weight in base_weights(one_layer).values() if weight.stacked) * 2
    rest = parameter_count(base_weights(one_layer)) * 2 - layer
    shape = replace(one_layer, num_hidden_layers=max(1, round((megabytes * MB - rest) / layer)))
    table = base_weights(shape)
    tensors = hub_tensors(table)
    dtype = np.dtype("bfloat16")
    random = np.random.default_rng(0)

    def numbers() -> Iterator[np.ndarray]:
        for tensor in tensors:
            size = table[tensor.path].hub_shape
            yield (random.integers(0, 256, size, np.uint8) / np.float32(5000)).astype(dtype)

    entries = [(tensor.name, dtype, table[tensor.path].hub_shape) for tensor in tensors]
    total = parameter_count(table) * 2
    largest = max(np.prod(size) for *_, size in entries) * 2
    hub_weights.save_tensors(UPath(folder), entries, numbers(), max_shard_bytes=int(total / FILES + largest / 2))
    hub_config.write_config(UPath(folder), shape, bos=1, eos=2, dtype="bfloat16")
    return layer


def load_ours(folder: Path) -> Loaded:
    import jax
    import jax.numpy as jnp
    from upath import UPath

    from bioinstruct_jax.config import Mesh
    from bioinstruct_jax.interop import hub_config, hub_weights
    from bioinstruct_jax.model.weights import base_weights
    from bioinstruct_jax.training.sharding import make_mesh

    shape = hub_config.read_shape(UPath(folder))
    table = base_weights(shape)
    mesh = make_mesh(Mesh(), jax.devices()[:1])
    abstract = {path: weight.abstract(jnp.bfloat16, mesh) for path, weight in table.items()}
    largest = jax.jit(jnp.max)
    before, start = resident(), time.perf_counter()
    arrays = hub_weights.load(UPath(folder), abstract, table)
    jax.block_until_ready([largest(array) for array in arrays.values()])
    seconds = time.perf_counter() - start
    return Loaded(seconds, peak() - before, sum(array.nbytes for array in arrays.values()))


def load_theirs(folder: Path) -> Loaded:
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    before, start = resident(), time.perf_counter()
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with torch.no_grad():
        for weight in model.parameters():
            weight.max().item()
    seconds = time.perf_counter() - start
    return Loaded(seconds, peak() - before, sum(weight.nbytes for weight in model.parameters()))


def resident() -> int:
    """Bytes of this process in memory now, from where `peak` counts (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): sets the peak back to the present
    return _status("VmRSS")


def peak() -> int:
    """Largest number of bytes of this process in memory since `resident` was called (Linux)."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


SIDES = {"ours": load_ours, "transformers": load_theirs}


def measure(side: str, folder: Path) -> Loaded:
    """`side` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.loading", "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return Loaded(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000, help="size of the model")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each side; medians are printed")
    parser.add_argument("--side", choices=SIDES, help="load --folder in this process, and print a line of JSON")
    parser.add_argument("--folder", type=Path, help="a model; default: one is written for the occasion")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder)._asdict()))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary, "model")
        if not options.folder:
            write_model(folder, options.megabytes)
        files = sorted(folder.glob("*.safetensors"))
        for file in files:
            with file.open("rb") as stream:
                while stream.read(1 << 24):
                    pass
        runs: dict[str, list[Loaded]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side, seen in runs.items():
                seen.append(measure(side, folder))
    size = runs["ours"][0].size
    print(f"{size / MB:,.0f} MB of bfloat16 in {len(files)} files; median of {options.repeats}")
    print(f"{'':14}{'seconds':>9}{'peak MB':>10}{'beyond the arrays, MB':>24}")
    for side, seen in runs.items():
        seconds, top = (statistics.median(getattr(one, name) for one in seen) for name in ("seconds", "peak"))
        print(f"{side:14}{seconds:9.2f}{top / MB:10,.0f}{(top - size) / MB:24,.0f}")
    names = ("jax", "torch", "transformers", "safetensors")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
