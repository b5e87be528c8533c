"""Attention on packed rows: which implementations keep segments apart, and how fast they are on the GPU at hand.

    python -m tests.benchmarks.attention --out attention.json    # on a GPU
    python -m tests.benchmarks.attention --tiny                  # on a CPU, small, with stand-ins: no measurement

Heads of Llama-2-7B and Llama-3.1-8B, bfloat16; rows of one segment, and rows packed with the lengths of the seed tasks,
as `tests.benchmarks.speed` has them. Each candidate runs in a process of its own, so that one that crashes ends alone.

First, equality: output, loss and gradients beside the reference (`model.attention.attend`) in float32 on the same
numbers. The error is the largest over positions t of |x_t - r_t| / (|r_t| + root mean square of |r|), norms over heads
and elements; of the loss, |x - r| over the root of its terms' sum of squares. Above 0.03 a candidate is unequal and is
not timed: in bfloat16 the reference itself is off by 0.004 and the Triton kernel, emulated, by 0.015 (dq of a row of
2,048), one without segments by 2. Loss and gradient are of sum(output * noise), the noise zero on padding.

Then the median of 20 calls or more, after three. FLOPs are the useful ones: a pair of tokens that see each other costs
4 for each head and element forward, and twice that backward, so 4 N H pairs and 12 N H pairs; pairs that a mask rules
out and scores that are computed again count for nothing. Memory is the compiled program's peak, with its arguments, as
the compiler says it: the device's own counter holds the highest of all that a process ran.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bioinstruct_jax.config import Mesh
from bioinstruct_jax.model.attention import attend
from bioinstruct_jax.model.kernels import Kernel
from bioinstruct_jax.model.weights import BATCH
from bioinstruct_jax.training import sharding
from tests.benchmarks import rows
from tests.benchmarks.candidates import Attention, candidates

TOLERANCE, WARM_UP = 0.03, 3


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.one:
        _one(options)
        return 0
    found = [row for name in options.candidates or candidates(options.tiny) for row in _apart(options, name)]
    print(report(found, measured=not options.tiny))
    about = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    about |= {name: metadata.version(name) for name in (*_PACKAGES, "tokamax") if name in _installed()}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    if options.out:
        whole = {"measured": not options.tiny, "tolerance": TOLERANCE, "versions": about, "rows": found}
        Path(options.out).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(not any(row["verdict"] == "exact" for row in found))


_PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12")


def _installed() -> set[str]:
    return {one.metadata["Name"] for one in metadata.distributions()}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.attention", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--tiny", action="store_true", help="small and on a CPU, where times measure nothing")
    parser.add_argument("--models", nargs="+", default=rows.MODELS, choices=rows.MODELS)
    parser.add_argument("--inputs", nargs="+", default=rows.INPUTS, choices=rows.INPUTS)
    parser.add_argument("--candidates", nargs="+", help="all by default: " + ", ".join(candidates(tiny=False)))
    parser.add_argument("--rows", type=rows.positive, default=4, help="rows of 4096 tokens")
    parser.add_argument("--repeats", type=rows.positive, default=20, help="timed calls")
    parser.add_argument("--out", help="a JSON file for the results")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # of one process
    options = parser.parse_args(arguments)
    unknown = set(options.candidates or ()) - set(candidates(options.tiny))
    if unknown:
        parser.error(f"no candidate {sorted(unknown)}; there are {', '.join(candidates(options.tiny))}")
    return options


def _apart(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """A candidate's rows, from a process of its own: one for each model and input, whatever became of it."""
    wanted = [{"model": m, "input": i, "candidate": name} for m in options.models for i in options.inputs]
    if name.startswith("tokamax") and util.find_spec("tokamax") is None:
        return [case | {"verdict": "not installed"} for case in wanted]
    command = [sys.executable, "-m", "tests.benchmarks.attention", "--one", name, *(["--tiny"] if options.tiny else [])]
    command += ["--models", *options.models, "--inputs", *options.inputs]
    command += ["--rows", str(options.rows), "--repeats", str(options.repeats)]
    new = {"JAX_PLATFORMS": "cpu"} if options.tiny else {}
    ended = subprocess.run(command, env=os.environ | new, capture_output=True, text=True)
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    why = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
    return found + [case | {"verdict": "failed", "error": why} for case in wanted[len(found) :]]


def _one(options: argparse.Namespace) -> None:
    del sys.argv[1:]  # tokamax takes a process's arguments for its own, and refuses those that it does not know
    device = jax.devices()[0]
    if device.platform != "gpu" and not options.tiny:
        raise SystemExit(f"these candidates are for a GPU, and JAX finds {device.device_kind!r}: add --tiny")
    for model in options.models:
        for kind in options.inputs:
            found = {"model": model, "input": kind, "candidate": options.one, "device": device.device_kind}
            here = case(model, kind, tiny=options.tiny, number=options.rows)
            try:
                found |= measure(candidates(options.tiny)[options.one], here, repeats=options.repeats)
            except Exception as error:  # whatever a compiler refuses is a result; the next case may do
                lines = str(error).strip().splitlines() or [""]
                found |= {"verdict": "failed", "error": f"{type(error).__name__}: {lines[0]}"[:300]}
            print(json.dumps(found), flush=True)


# -------------------------------------------------------------------- what they are given, and what they gave


@dataclass(frozen=True)
class Case:
    """Operands of one model and input.

    Attributes:
        qkv: q [B, S, K, G, H], k and v [B, S, K, H], bfloat16.
        segments: int32 [B, S].
        noise: float32, q's shape: the gradient of the loss by the output.
        pairs: as `visible_pairs` counts them.
    """

    qkv: tuple[jax.Array, ...]
    segments: jax.Array
    noise: jax.Array
    pairs: int


def case(model: str, kind: str, *, tiny: bool = False, number: int = 4) -> Case:
    """`number` rows of 4096 tokens of a model's heads; `tiny`: two of 256, a quarter of the heads and of each."""
    shape = rows.job(model)[1]
    K, G, H = shape.num_key_value_heads, shape.num_attention_heads // shape.num_key_value_heads, shape.head_size
    B, S = number, 4096
    if tiny:
        K, H, B, S = K // 4, H // 4, 2, 256
    sizes = np.maximum(1, rows.lengths(kind, rows=B, length=4096) * S // 4096)
    segments = rows.batches(sizes, rows=B, length=S, vocabulary=4)[0]["segments"]
    keys = jax.random.split(jax.random.key(0), 4)
    wide, narrow = (B, S, K, G, H), (B, S, K, H)
    drawn = [
        jax.random.normal(key, size, jnp.bfloat16) for key, size in zip(keys, (wide, narrow, narrow, wide), strict=True)
    ]
    noise = drawn[3].astype(jnp.float32) * jnp.asarray(segments > 0)[:, :, None, None, None]
    return Case((2 * drawn[0], *drawn[1:3]), jnp.asarray(segments), noise, visible_pairs(segments))


def visible_pairs(segments: np.ndarray) -> int:
    """Pairs of real tokens that see each other, a token and itself among them, in all rows of int [rows, tokens]."""
    lengths = np.concatenate([np.bincount(row)[1:] for row in segments])
    return int((lengths * (lengths + 1) // 2).sum())


def measure(attention: Attention, here: Case, *, repeats: int) -> dict[str, Any]:
    """Errors and verdict (exact, unequal); of an exact one, seconds, TFLOP/s and GiB, forward and with the backward."""
    K, G, H = here.qkv[0].shape[2:]
    operands = [*here.qkv, here.segments, here.noise]
    around: Any = nullcontext()
    if isinstance(attention, Kernel):  # it divides its operands over a mesh
        mesh = sharding.make_mesh(Mesh(), jax.devices()[:1])
        heads = jax.P(BATCH, None, "tensor")
        specs = (heads, heads, heads, jax.P(BATCH), heads)
        operands = [jax.device_put(x, jax.NamedSharding(mesh, spec)) for x, spec in zip(operands, specs, strict=True)]
        around = jax.set_mesh(mesh)
    with around:
        programs = {
            "forward": jax.jit(lambda q, k, v, segments, noise: attention(q, k, v, segments)),
            "both": jax.jit(partial(_loss_and_gradients, attention)),
        }
        compiled = {name: program.lower(*operands).compile() for name, program in programs.items()}
        out = compiled["forward"](*operands)
        errors = _errors(out, *compiled["both"](*operands), here)
        found: dict[str, Any] = {"errors": errors, "verdict": "exact"}
        if not all(error <= TOLERANCE for error in errors.values()):  # nor is NaN
            return found | {"verdict": "unequal"}
        for name, flops in (("forward", 4), ("both", 12)):
            seconds = _seconds(partial(compiled[name], *operands), repeats)
            memory = compiled[name].memory_analysis()
            peak = memory.peak_memory_in_bytes + memory.generated_code_size_in_bytes if memory else 0
            found[name] = {
                "seconds": seconds,
                "tflops": flops * K * G * H * here.pairs / seconds / 1e12,
                "peak_gib": peak / 2**30 if peak else None,
            }
    return found


def _loss_and_gradients(attention: Attention, *operands: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    q, k, v, segments, noise = operands

    def loss(*qkv: jax.Array) -> jax.Array:
        return jnp.sum(attention(*qkv, segments) * noise)

    return jax.value_and_grad(loss, (0, 1, 2))(q, k, v)


def _errors(out: jax.Array, loss: jax.Array, gradients: Sequence[jax.Array], here: Case) -> dict[str, float]:
    """Distances from the reference in float32, which is computed row by row: it holds the scores of a whole row."""
    exact = jax.jit(lambda *operands: (attend(*operands[:4]), *_loss_and_gradients(attend, *operands)))
    worst, losses, squares = dict.fromkeys(("out", "dq", "dk", "dv"), 0.0), 0.0, 0.0
    device = jax.devices()[0]
    for row in range(here.segments.shape[0]):
        cut = partial(jax.lax.dynamic_slice_in_dim, start_index=row, slice_size=1, axis=0)
        with jax.default_matmul_precision("highest"):
            qkv = [cut(array).astype(jnp.float32) for array in here.qkv]
            truth, value, slopes = exact(*qkv, cut(here.segments), noise := cut(here.noise))
        losses, squares = losses + float(value), squares + float(jnp.sum((truth * noise) ** 2))
        real = cut(here.segments)[0] > 0
        for name, wanted, found in zip(worst, (truth, *slopes), (out, *gradients), strict=True):
            one = _distance(jax.device_put(found, device)[row], wanted[0], real if name == "out" else real | True)
            worst[name] = float(np.maximum(worst[name], one))  # NaN stays
    return worst | {"loss": abs(float(loss) - losses) / squares**0.5}


@jax.jit
def _distance(found: jax.Array, truth: jax.Array, real_S: jax.Array) -> jax.Array:
    wide_SE, narrow_SE = (array.astype(jnp.float32).reshape(real_S.size, -1) for array in (found, truth))
    off_S, norm_S = (jnp.linalg.norm(array, axis=1) for array in (wide_SE - narrow_SE, narrow_SE))
    typical = jnp.sqrt(jnp.sum(norm_S**2 * real_S) / jnp.maximum(jnp.sum(real_S), 1))
    return jnp.max(jnp.where(real_S, off_S / (norm_S + typical), 0))


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median of `repeats` calls, each until the device has done it."""
    taken = []
    for _ in range(WARM_UP + repeats):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[WARM_UP:])


# -------------------------------------------------------------------- what is reported


def report(found: list[dict[str, Any]], *, measured: bool) -> str:
    """A Markdown table of all rows; where it was measured, the fastest of the candidates exact on every input."""
    unit = "ms (TFLOP/s)" if measured else "ms, no measurement"
    lines = [] if measured else ["Small, on a CPU, with stand-ins: equality is checked, **nothing is measured**."]
    lines += [
        f"| model, rows | candidate | verdict | largest error | forward, {unit} | and backward, {unit} | peak GiB |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    order = {(row["model"], row["input"]): None for row in found}
    for row in (row for key in order for row in found if (row["model"], row["input"]) == key):
        cells = [f"{row['model']}, {row['input']}", row["candidate"], row["verdict"]]
        cells.append(f"{max(row['errors'].values(), key=lambda e: (e != e, e)):.4f}" if "errors" in row else "")
        for name in ("forward", "both"):
            time_ = row.get(name)
            rate = f" ({time_['tflops']:.0f})" if time_ and measured else ""
            cells.append(f"{time_['seconds'] * 1e3:.2f}{rate}" if time_ else "")
        peak = row.get("both", {}).get("peak_gib")
        cells.append(f"{peak:.2f}" if peak else "")
        lines.append(f"| {' | '.join(cells)} |")
    errors = {f"{row['candidate']}: {row['error']}": None for row in found if "error" in row}
    lines += ["", *errors] if errors else []
    for model in dict.fromkeys(row["model"] for row in found) if measured else ():
        mine = [row for row in found if row["model"] == model]
        unfit = {row["candidate"] for row in mine if row["verdict"] != "exact"}
        fit = [row for row in mine if row["candidate"] not in unfit]
        times = {(row["input"], row["candidate"]): row["both"]["seconds"] for row in fit}
        for kind in dict.fromkeys(kind for kind, _ in times):
            best = min((one for one in times if one[0] == kind), key=lambda one: times[one])
            lines.append(f"{model}, {kind}: {best[1]} is the fastest of those that are exact on every input")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
