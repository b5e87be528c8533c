"""Training speed on one accelerator, beside transformers + peft and Tunix in the same run: real tokens a second.

    python -m tests.benchmarks.speed                                     # 7B and 8B shapes, both inputs, all sides
    python -m tests.benchmarks.speed --models tiny --length 256 --steps 3    # the same code anywhere, in minutes

Random weights in bfloat16, LoRA of rank 16 on all seven projections. `full` rows are one segment of the whole length;
`packed` rows hold examples whose lengths are drawn from those of the 80 seed tasks. Each side runs in a process of its
own, so that its memory is given back; ours runs twice with one compile cache, for the seconds from its start to the
end of the first step, cold and warm. The speed is that of the median step, after two.

transformers + peft gets the same examples, rows and rematerialisation, and the fastest attention that is installed
(flash_attention_2, else sdpa): `peft` packs them as we do, with a mask of segments; `peft-padded` has one example a
row, as common instruction-tuning loops do, each batch padded to its longest and holding as many slots as ours. The
hours of three epochs of 25,005 such examples are computed from the speeds, not run. `tunix` (`pip install
google-tunix`; where it is not installed, the row says so) gets the same rows and has its own attention: `sides.tunix`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from bioinstruct_jax.config import PROJECTIONS, Lora, Tokenizer, Train
from tests.benchmarks import rows as inputs
from tests.benchmarks import sides

WARM_UP, EPOCHS, EXAMPLES = 2, 3, 25_005
SIDES = {"ours": sides.ours, "peft": sides.peft, "peft-padded": sides.peft, "tunix": sides.tunix}
NEEDS = {"peft": "peft", "peft-padded": "peft", "tunix": "tunix"}  # what a side imports
NOT_INSTALLED = "not installed"
BARS = {("llama2_7b", "full"): 16_000, ("llama3_1_8b", "full"): 13_500}  # tokens/s wanted of one H200


def main() -> int:
    options = _options()
    if options.side:
        print(json.dumps(timed(options)))
        return 0
    print(f"Python {platform.python_version()}, " + ", ".join(versions()))
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for model in options.models:
            for rows in inputs.INPUTS:
                for side in SIDES:
                    if (rows, side) == ("full", "peft-padded"):
                        continue  # the same as packed: nothing is padded
                    here = f"{cache}/{model}-{rows}"
                    found.append({"model": model, "input": rows, "side": side} | _run(options, model, rows, side, here))
                    if side == "ours" and "error" not in found[-1]:
                        found[-1]["first_step_warm"] = _run(options, model, rows, side, here).get("first_step")
                    print(json.dumps(found[-1]), flush=True)
    report(found)
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any("error" in row for row in found if row["side"] == "ours"))


_PACKAGES = ("jax", "torch", "transformers", "peft", "google-tunix", "qwix")


def versions() -> list[str]:
    """Names and versions of the packages that are compared, where they are installed."""
    installed = {one.metadata["Name"] for one in metadata.distributions()}
    return [f"{name} {metadata.version(name)}" if name in installed else f"no {name}" for name in _PACKAGES]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--models", nargs="+", default=inputs.MODELS, choices=(*inputs.MODELS, "tiny"))
    parser.add_argument("--length", type=inputs.positive, default=4096, help="tokens in a row")
    parser.add_argument("--rows", type=inputs.positive, default=4, help="rows in a step")
    parser.add_argument("--steps", type=inputs.positive, default=20, help="timed steps")
    parser.add_argument("--remat", default="full", choices=("full", "attention", "none"), help="elsewhere the nearest")
    parser.add_argument("--out", help="a JSON file for the results")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # of one process
    parser.add_argument("--input", choices=inputs.INPUTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, model: str, rows: str, side: str, cache: str) -> dict[str, Any]:
    """One side in a process of its own; what went wrong there is a result too."""
    if side in NEEDS and util.find_spec(NEEDS[side]) is None:
        return {"error": NOT_INSTALLED}
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--models", model, "--input", rows, "--side", side]
    for name in ("length", "rows", "steps", "remat"):
        command.append(f"--{name}={getattr(options, name)}")
    new = {"BENCHMARK_STARTED": str(time.time()), "JAX_COMPILATION_CACHE_DIR": cache}
    new |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    ended = subprocess.run(command, env=os.environ | new, capture_output=True, text=True)
    if ended.returncode:
        return {"error": " | ".join(ended.stderr.strip().splitlines()[-3:])[-500:] or "it said nothing"}
    return json.loads(ended.stdout.strip().splitlines()[-1])


def timed(options: argparse.Namespace) -> dict[str, Any]:
    """Speed of one side, in this process."""
    job, rows = job_of(options), {"rows": options.rows, "length": options.length}
    lengths = inputs.lengths(options.input, **rows)
    padded, vocabulary = options.side == "peft-padded", job.model.shape.vocab_size or 0
    batches = inputs.batches(lengths, vocabulary=vocabulary, padded=padded, **rows)
    made = SIDES[options.side](job)
    first, step = None, made[1]
    seconds, counts = [], []
    for number in range(WARM_UP + options.steps):
        batch = batches[number % len(batches)]
        began = time.perf_counter()
        if not np.isfinite(loss := step(batch)):
            raise SystemExit(f"{options.side}: the loss of step {number} is {loss}, so its time says nothing")
        if first is None:
            first = time.time() - float(os.environ.get("BENCHMARK_STARTED", time.time()))
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
            counts.append(int((batch["segments"] > 0).sum()))
    speeds = np.array(counts) / np.array(seconds)
    return {
        "device": made[0],
        "tokens_per_second": float(np.median(speeds)),
        "slowest": float(speeds.min()),
        "fastest": float(speeds.max()),
        "padding": 1 - sum(counts) / sum(batch["tokens"].size for batch in batches) * len(batches) / len(counts),
        "first_step": first,
        "mean_length": float(np.mean(lengths)),
    }


# -------------------------------------------------------------------- what is computed


def job_of(options: argparse.Namespace) -> Train:
    """The job of a model: random weights in its shape; the tokenizer is there because random weights must name one."""
    job, shape = inputs.job(options.models[0])
    return replace(
        job,
        tokenizer=Tokenizer(path="tiny"),
        model=replace(job.model, weights="random", shape=shape, dtype="bfloat16", remat=options.remat),
        lora=Lora(rank=16, alpha=32.0, dropout=0.05, targets=PROJECTIONS),
        data=replace(job.data, length=options.length),
        training=replace(job.training, steps=1000, epochs=None, batch_rows=options.rows, micro_batches=1),
    )


# -------------------------------------------------------------------- what is reported


def report(found: list[dict[str, Any]]) -> None:
    """Speeds side by side, and what three epochs would take."""
    if any(row.get("device") == "cpu" for row in found):
        print("\nOn a CPU: this shows that the sides run, and **measures nothing**.")
    speed = {(row["model"], row["input"], row["side"]): row.get("tokens_per_second") for row in found}
    errors = {(row["model"], row["input"], row["side"]): row.get("error") for row in found}
    print(
        "\n| model, rows | ours | transformers + peft | Tunix | ratios | first step, cold, warm | wanted on one H200 |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in found:
        if row["side"] != "ours":
            continue
        here = row["model"], row["input"]
        speeds = [speed.get((*here, side)) for side in ("ours", "peft", "tunix")]
        missing = [errors.get((*here, side)) == NOT_INSTALLED for side in ("ours", "peft", "tunix")]
        shown = [
            f"{value:,.0f}" if value else NOT_INSTALLED if absent else "failed"
            for value, absent in zip(speeds, missing, strict=True)
        ]
        ratios = ", ".join(f"{speeds[0] / value:.2f}" if speeds[0] and value else "-" for value in speeds[1:])
        starts = f"{row.get('first_step') or 0:.0f} s, {row.get('first_step_warm') or 0:.0f} s"
        bar = f"{BARS[here]:,}" if here in BARS else ""
        print(f"| {', '.join(here)} | {' | '.join(shown)} | {ratios} | {starts} | {bar} |")
    for model in dict.fromkeys(row["model"] for row in found):
        mean = next((row["mean_length"] for row in found if row["input"] == "packed" and "mean_length" in row), 0)
        hours = {
            side: EPOCHS * EXAMPLES * mean / value / 3600 if (value := speed.get((model, "packed", side))) else None
            for side in ("ours", "peft-padded")
        }
        text = ", ".join(f"{side} {value:.2f} h" if value else f"{side} unknown" for side, value in hours.items())
        print(f"{model}: {EPOCHS} epochs of {EXAMPLES:,} examples of {mean:.0f} tokens, computed: {text}")
    for (model, kind, side), error in errors.items():
        if error not in (None, NOT_INSTALLED):
            print(f"{model}, {kind}, {side} failed: {error}")


if __name__ == "__main__":
    sys.exit(main())
