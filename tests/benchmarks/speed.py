"""Training speed on one accelerator, beside transformers + peft in the same run: non-padding tokens a second.

    python -m tests.benchmarks.speed                                  # llama2_7b and llama3_1_8b, both inputs, both sides
    python -m tests.benchmarks.speed --models tiny --steps 3          # the same code on any machine, in a minute

Random weights in bfloat16, LoRA of rank 16 on all seven projections. `full` rows are one segment of the whole length;
`packed` rows hold instructions whose lengths are drawn from those of the 80 seed tasks. Each side runs in a process of
its own, so that memory is given back and nothing stays compiled; ours runs twice with one compile cache, for the
seconds from the command to the end of the first step, cold and again. Speed is the median of steps after two.

transformers + peft gets the fastest attention that is installed (flash_attention_2, else sdpa), both with padded rows
and packed, and the same rematerialisation; its packed rows carry a mask of segments under sdpa. The wall time of three
epochs of 25,005 such instructions is computed from the speeds, ours packed and theirs padded, not run.
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
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bioinstruct_jax import settings
from bioinstruct_jax.config import PROJECTIONS, Lora, Shape, Train
from bioinstruct_jax.data import packing
from bioinstruct_jax.data.batch import micro_batches
from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.resources import resource

WARM_UP, EPOCHS, INSTRUCTIONS = 2, 3, 25_005
INPUTS, SIDES = ("full", "packed"), ("ours", "peft", "peft-padded")
BARS = {("llama2_7b", "full"): 16_000, ("llama3_1_8b", "full"): 13_500}  # tokens/s wanted on one H200
_TINY = Shape(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)


def job(options: argparse.Namespace) -> Train:
    """The job that is timed."""
    name = "tiny" if options.model == "tiny" else options.model
    verb_free = settings.loads(resource("configs", f"{name}.yaml").read_text(encoding="utf-8"), job=Train, where=name)
    model = replace(verb_free.model, weights="random", dtype="bfloat16", remat=options.remat)
    if options.model == "tiny":
        model = replace(model, shape=_TINY)
    return replace(
        verb_free,
        model=model,
        lora=Lora(rank=16, alpha=32.0, dropout=0.05, targets=PROJECTIONS),
        data=replace(verb_free.data, length=options.length),
        training=replace(verb_free.training, steps=1000, epochs=None, batch_rows=options.rows, micro_batches=1),
    )
