"""Training speed on one accelerator, beside transformers + peft in the same run: non-padding tokens a second.

    python -m tests.benchmarks.speed                                     # 7B and 8B shapes, both inputs, all sides
    python -m tests.benchmarks.speed --models tiny --length 256 --steps 3    # the same code anywhere, in minutes

Random weights in bfloat16, LoRA of rank 16 on all seven projections. `full` rows are one segment of the whole length;
`packed` rows hold examples whose lengths are drawn from those of the 80 seed tasks. Each side runs in a process of its
own, so that its memory is given back; ours runs twice with one compile cache, for the seconds from its start to the
end of the first step, cold and warm. The speed is that of the median step, after two.

transformers + peft gets the same examples, rows and rematerialisation, and the fastest attention that is installed
(flash_attention_2, else sdpa): `peft` packs them as we do, with a mask of segments; `peft-padded` has one example a
row, as common instruction-tuning loops do, each batch padded to its longest and holding as many slots as ours. The
hours of three epochs of 25,005 such examples are computed from the speeds, not run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from bioinstruct_jax import settings
from bioinstruct_jax.config import PROJECTIONS, Lora, Shape, Source, Train
from bioinstruct_jax.data import packing, prompts, readers, tokenizer, tokens
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.resources import resource

WARM_UP, EPOCHS, EXAMPLES = 2, 3, 25_005
MODELS, INPUTS, SIDES = ("llama2_7b", "llama3_1_8b"), ("full", "packed"), ("ours", "peft", "peft-padded")
BARS = {("llama2_7b", "full"): 16_000, ("llama3_1_8b", "full"): 13_500}  # tokens/s wanted of one H200
_TINY = Shape(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)
Step = Callable[[dict[str, np.ndarray]], None]  # does one step, and returns when the device has done it


def main() -> None:
    options = _options()
    if options.side:
        print(json.dumps(timed(options)))
        return
    print(f"Python {platform.python_version()}, " + ", ".join(f"{n} {metadata.version(n)}" for n in _PACKAGES))
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for model in options.models:
            for rows in INPUTS:
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


_PACKAGES = ("jax", "torch", "transformers", "peft")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--models", nargs="+", default=MODELS, choices=(*MODELS, "tiny"))
    parser.add_argument("--length", type=int, default=4096, help="tokens in a row")
    parser.add_argument("--rows", type=int, default=4, help="rows in a step")
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--remat", default="full", choices=("full", "attention", "none"), help="peft: none or full")
    parser.add_argument("--out", help="a JSON file for the results")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # of one process
    parser.add_argument("--input", choices=INPUTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, model: str, rows: str, side: str, cache: str) -> dict[str, Any]:
    """One side in a process of its own; what went wrong there is a result too."""
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--models", model, "--input", rows, "--side", side]
    for name in ("length", "rows", "steps", "remat"):
        command.append(f"--{name}={getattr(options, name)}")
    new = {"BENCHMARK_STARTED": str(time.time()), "JAX_COMPILATION_CACHE_DIR": cache}
    new |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    ended = subprocess.run(command, env=os.environ | new, capture_output=True, text=True)
    if ended.returncode:
        return {"error": (ended.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]}
    return json.loads(ended.stdout.strip().splitlines()[-1])


def timed(options: argparse.Namespace) -> dict[str, Any]:
    """Speed of one side, in this process."""
    job, lengths = _job(options), _lengths(options)
    made = _ours(job) if options.side == "ours" else _peft(job)
    batches = _batches(job, lengths, options)
    first, step = None, made[1]
    seconds, counts = [], []
    for number in range(WARM_UP + options.steps):
        batch = batches[number % len(batches)]
        began = time.perf_counter()
        step(batch)
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


def _job(options: argparse.Namespace) -> Train:
    name = options.models[0]
    text = resource("configs", f"{name}.yaml").read_text(encoding="utf-8")
    job = settings.loads(text, job=Train, where=name)
    shape = _TINY if name == "tiny" else job.model.shape
    return replace(
        job,
        model=replace(job.model, weights="random", shape=shape, dtype="bfloat16", remat=options.remat),
        lora=Lora(rank=16, alpha=32.0, dropout=0.05, targets=PROJECTIONS),
        data=replace(job.data, length=options.length),
        training=replace(job.training, steps=1000, epochs=None, batch_rows=options.rows, micro_batches=1),
    )


def _lengths(options: argparse.Namespace) -> np.ndarray:
    """Tokens of each example: whole rows, or drawn from the seed tasks as the shipped tokenizer cuts them."""
    if options.input == "full":
        return np.full(options.rows * 4, options.length)
    fast = tokenizer.load("tiny")
    template = prompts.template("alpaca", fast)
    records = [record for record in readers.read(Source(path="seeds")) if isinstance(record, Record)]
    sizes = [len(tokens.encode(record, template, fast).tokens) for record in records]
    return np.random.default_rng(0).choice(np.minimum(sizes, options.length), options.rows * options.length // 16)


def _batches(job: Train, lengths: np.ndarray, options: argparse.Namespace) -> list[dict[str, np.ndarray]]:
    """Steps' rows: tokens, segments, positions and weights, each int32 [rows, tokens], of as many slots a step."""
    if options.side == "peft-padded":
        ordered = lengths.tolist()  # in no order, as a shuffled data set is
        groups: list[list[list[int]]] = [[]]
        for index, length in enumerate(ordered):
            held = [ordered[row[0]] for row in groups[-1]]
            if held and max(*held, length) * (len(held) + 1) > options.rows * options.length:
                groups.append([])
            groups[-1].append([index])
        groups = groups[:-1] or groups  # the last one may not be full
    else:
        plan = packing.pack(lengths.tolist(), options.length)
        plan = [plan[i] for i in np.random.default_rng(1).permutation(len(plan))]  # else full rows come first
        groups = [plan[at : at + options.rows] for at in range(0, len(plan) - options.rows + 1, options.rows)]
    random = np.random.default_rng(2)
    return [_filled(group, lengths, options, job.model.shape.vocab_size or 0, random) for group in groups]


def _filled(
    rows: list[list[int]],
    lengths: np.ndarray,
    options: argparse.Namespace,
    vocabulary: int,
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    padded = options.side == "peft-padded"
    width = int(max(lengths[row[0]] for row in rows)) if padded else options.length
    names = ("tokens", "segments", "positions", "weights")
    made = {name: np.zeros((len(rows), width), np.int32) for name in names}
    for number, row in enumerate(rows):
        at = 0
        for segment, index in enumerate(row, start=1):
            here = slice(at, at := at + int(lengths[index]))
            size = here.stop - here.start
            made["tokens"][number, here] = random.integers(3, vocabulary, size)
            made["segments"][number, here] = segment
            made["positions"][number, here] = np.arange(size)
            made["weights"][number, here] = np.arange(size) >= size // 2  # the second half is the answer
    return made


# -------------------------------------------------------------------- the sides


def _ours(job: Train) -> tuple[str, Step]:
    """The program that `train` runs, on all devices."""
    import jax

    from bioinstruct_jax.data.rows import DTYPES
    from bioinstruct_jax.interop import base
    from bioinstruct_jax.model.loss import Batch
    from bioinstruct_jax.training import optimizer, program, sharding, state

    mesh = sharding.make_mesh(job.mesh)
    with jax.set_mesh(mesh):
        plan = state.plan(job, job.model.shape, mesh)
        trained, frozen = base.place(job, plan, base.Base(job.model.shape, None), None)
        adamw = optimizer.make_optimizer(job.optimizer, job.training.steps or 1)
        now = state.start(trained, adamw, mesh)
        run = program.lower(job, plan, adamw, mesh).compile(program.compiler_options(job, mesh))

    def step(rows: dict[str, np.ndarray]) -> None:
        nonlocal now
        batch = Batch(**{name: rows[name][None].astype(DTYPES[name]) for name in Batch._fields})
        with jax.set_mesh(mesh):
            now, measured = run(now, frozen, sharding.put_batch(batch._asdict(), mesh))
        assert np.isfinite(float(jax.device_get(measured.loss)))

    return jax.devices()[0].device_kind, step


def _peft(job: Train) -> tuple[str, Step]:
    """transformers + peft: the same shape, adapter, optimizer and clipping."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flash = device == "cuda" and util.find_spec("flash_attn") is not None
    shape = job.model.shape
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    sizes = {name: getattr(shape, name) for name in (*names, "num_key_value_heads", "max_position_embeddings")}
    config = LlamaConfig(**sizes, rms_norm_eps=shape.rms_norm_eps, use_cache=False)
    config.rope_parameters = {"rope_type": "default", "rope_theta": shape.rope_theta}
    config._attn_implementation = "flash_attention_2" if flash else "sdpa"
    with torch.device(device):
        old, _ = torch.get_default_dtype(), torch.set_default_dtype(torch.bfloat16)
        plain = LlamaForCausalLM(config)
        torch.set_default_dtype(old)
    lora = LoraConfig(
        r=job.lora.rank,
        lora_alpha=int(job.lora.alpha),
        lora_dropout=job.lora.dropout,
        target_modules=list(job.lora.targets),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(plain, lora)
    if job.model.remat == "full":
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adamw = torch.optim.AdamW(trained, lr=job.optimizer.learning_rate, fused=device == "cuda")

    def step(rows: dict[str, np.ndarray]) -> None:
        arrays = {name: torch.from_numpy(array).long().to(device) for name, array in rows.items()}
        segments = arrays["segments"]
        given = {"input_ids": arrays["tokens"], "position_ids": arrays["positions"]}
        if int(segments.max()) == 1:  # one example a row
            given["attention_mask"] = (segments > 0).long()
        elif flash:  # rows end to end: restarting positions tell segments apart
            real = segments > 0
            given = {name: array[real][None] for name, array in given.items()}
        else:
            causal = torch.ones((segments.shape[1],) * 2, dtype=torch.bool, device=device).tril()
            given["attention_mask"] = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
        first = (arrays["positions"] == 0) | (arrays["weights"] == 0)
        labels = arrays["tokens"].masked_fill(first, -100)
        given["labels"] = labels[segments > 0][None] if given["input_ids"].shape != labels.shape else labels
        loss = model(**given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, job.optimizer.clip_norm or float("inf"))
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        assert np.isfinite(loss.item())  # waits for the device

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return f"{name}, {config._attn_implementation}", step


# -------------------------------------------------------------------- what is reported


def report(found: list[dict[str, Any]]) -> None:
    """Speeds side by side, and what three epochs would take."""
    speed = {(row["model"], row["input"], row["side"]): row.get("tokens_per_second") for row in found}
    print("\n| model, rows | ours | transformers + peft | ratio | first step, cold and warm | wanted on one H200 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in found:
        if row["side"] != "ours":
            continue
        model, rows = row["model"], row["input"]
        ours, theirs = row.get("tokens_per_second"), speed.get((model, rows, "peft"))
        starts = f"{row.get('first_step') or 0:.0f} s, {row.get('first_step_warm') or 0:.0f} s"
        shown = [f"{value:,.0f}" if value else "failed" for value in (ours, theirs)]
        ratio = f"{ours / theirs:.2f}" if ours and theirs else ""
        bar = f"{BARS[model, rows]:,}" if (model, rows) in BARS else ""
        print(f"| {model}, {rows} | {shown[0]} | {shown[1]} | {ratio} | {starts} | {bar} |")
    for model in dict.fromkeys(row["model"] for row in found):
        mean = next((row["mean_length"] for row in found if row["input"] == "packed" and "mean_length" in row), 0)
        hours = {
            side: EPOCHS * EXAMPLES * mean / value / 3600 if (value := speed.get((model, "packed", side))) else None
            for side in ("ours", "peft-padded")
        }
        text = ", ".join(f"{side} {value:.2f} h" if value else f"{side} unknown" for side, value in hours.items())
        print(f"{model}: {EPOCHS} epochs of {EXAMPLES:,} examples of {mean:.0f} tokens, computed: {text}")


if __name__ == "__main__":
    main()
