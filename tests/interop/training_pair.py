"""One training job, carried out here and by transformers + peft + torch: same base, adapter start and batches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import peft
import torch
from transformers import LlamaForCausalLM, get_cosine_schedule_with_warmup
from upath import UPath

from bioinstruct_jax.config import Optimizer, Train, Training
from bioinstruct_jax.data.batch import micro_batches
from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.interop import peft_adapter
from bioinstruct_jax.interop.hub_folder import hub_tensors
from bioinstruct_jax.training import sharding, state
from bioinstruct_jax.training.optimizer import make_optimizer
from bioinstruct_jax.training.step import train_step
from tests.interop.llama_pairs import FAMILIES, SIZES, load, reference
from tests.small import job, random_rows

torch.set_num_threads(1)  # such small products are slower on two, which wait for each other
STEPS = 50
LENGTH = 40  # of our packed rows; transformers has one example a row, as long as the longest of its batch
SEED = 0
# Decay, epsilon and clipping that matter: the last acts on some steps and leaves others.
ADAMW = Optimizer(learning_rate=2e-3, weight_decay=0.1, b1=0.9, b2=0.95, eps=1e-5, clip_norm=2.1)
VARIANTS: dict[str, dict[str, Any]] = {
    "one batch, no warm-up": {"settings": FAMILIES["llama3"], "parts": 1, "warmup": 0},
    "micro-batches, warm-up": {"settings": FAMILIES["llama32_tied"], "parts": 2, "warmup": 5},
}


@dataclass(frozen=True)
class Pair:
    """What both sides start from.

    Attributes:
        job: the settings of ours, from which the other side's follow.
        folder: with the base in ``base`` and the adapter, whose B is not zero, in ``adapter``.
        rows: packed examples with unequal numbers of target tokens.
    """

    job: Train
    folder: Path
    rows: Rows


class Curve(NamedTuple):
    """Of a run: loss in nats per target token and gradient norm before clipping, each [STEPS]; final A and B."""

    losses: np.ndarray
    norms: np.ndarray
    adapter: dict[str, np.ndarray]


def make_pair(folder: Path, *, settings: dict[str, Any], parts: int, warmup: int) -> Pair:
    """Writes base and adapter with transformers and peft.

    Args:
        settings: of the base's LlamaConfig.
        parts: micro-batches a step of ours.
        warmup: steps of it.
    """
    model = reference(0, **settings)
    model.save_pretrained(folder / "base")
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.05)
    adapted.save_pretrained(folder / "adapter")
    ours_ = job(
        optimizer=replace(ADAMW, warmup_steps=warmup),
        training=Training(steps=STEPS, batch_rows=8, micro_batches=parts),
    )
    return Pair(ours_, folder, Rows(**random_rows(24, LENGTH, vocabulary=SIZES["vocab_size"])))


def batches(pair: Pair) -> list[dict[str, np.ndarray]]:
    """The batch of each step as `train.py` makes it, [micro-batches, rows, tokens] each."""
    training = pair.job.training
    parts = {"seed": SEED, "size": training.batch_rows, "parts": training.micro_batches}
    return [micro_batches(pair.rows, step, **parts) for step in range(STEPS)]


# -------------------------------------------------------------------- ours


def ours(pair: Pair, optimizer: optax.GradientTransformation | None = None) -> Curve:
    """The steps of `train.py`; `optimizer` takes the place of the job's own where a test breaks it on purpose."""
    shape, base = load(pair.folder / "base")
    lora, adapter = peft_adapter.load(UPath(pair.folder / "adapter"), shape)
    mesh = sharding.make_mesh(pair.job.mesh, jax.devices()[:1])
    with jax.set_mesh(mesh):
        plan = state.plan(replace(pair.job, lora=lora), shape, mesh)
        adamw = optimizer or make_optimizer(pair.job.optimizer, STEPS)
        lies = {path: like.sharding for path, like in state.by_path(plan.trained).items()}
        placed = {path: jax.device_put(array, lies[path]) for path, array in adapter.items()}
        now = state.start(state.from_paths(plan.trained, placed), adamw, mesh)
        frozen = state.from_paths(plan.frozen, base)
        step = jax.jit(train_step(plan.graph, adamw, pair.job.seed), donate_argnums=0)
        seen = []
        for batch in batches(pair):
            now, metrics = step(now, frozen, sharding.put_batch(batch, mesh))
            seen.append(jax.device_get(metrics))
        trained = jax.device_get(state.by_path(now.trained))
    final = {
        name: plan.weights[path].to_hub(trained[path][layer])
        for name, path, layer in hub_tensors({path: plan.weights[path] for path in trained})
    }
    return Curve(np.array([m.loss for m in seen]), np.array([m.grad_norm for m in seen]), final)


# -------------------------------------------------------------------- transformers, peft and torch


Rate = Callable[[int], float]  # learning rate of a step, counted from 0, as a share of the peak


def ahead(theirs: Rate, step: int) -> float:
    """Our learning rate from transformers' schedule.

    Theirs is zero in the first step. Ours moves at once: while the rate rises it is theirs one step ahead, from the
    peak on it is theirs, so that both end alike. That is the larger of two neighbours; without warm-up it is theirs.
    """
    return max(theirs(step), theirs(step + 1))


def schedule(settings: Optimizer) -> Rate:
    """transformers' cosine schedule."""
    adamw = torch.optim.AdamW([torch.zeros(1)], lr=settings.learning_rate)
    return get_cosine_schedule_with_warmup(adamw, settings.warmup_steps, STEPS).lr_lambdas[0]


def unpacked(batch: dict[str, np.ndarray]) -> list[dict[str, torch.Tensor]]:
    """Each micro-batch with one example a row, padded on the right: ids, attention mask, labels (-100: no target)."""
    made = []
    for tokens, segments, weights in zip(batch["tokens"], batch["segments"], batch["weights"], strict=True):
        spans = [row == segment for row in segments for segment in range(1, row.max() + 1)]
        owners = [index for index, row in enumerate(segments) for _ in range(row.max())]
        longest = max(span.sum() for span in spans)
        ids, mask = np.zeros((2, len(spans), longest), np.int64)
        labels = np.full_like(ids, -100)
        for example, (owner, span) in enumerate(zip(owners, spans, strict=True)):
            length = span.sum()
            ids[example, :length], mask[example, :length] = tokens[owner, span], 1
            labels[example, :length] = np.where(weights[owner, span], tokens[owner, span], -100)
        arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        made.append({name: torch.from_numpy(array) for name, array in arrays.items()})
    return made


@dataclass(frozen=True)
class Slip:
    """How the other side departs from the job; what is not given is as the job has it. For tests of the comparison."""

    alpha: float | None = None
    b2: float | None = None
    eps: float | None = None
    clip_norm: float | None = None
    coupled: bool = False
    shift: Callable[[Rate, int], float] = ahead
    mean_of_means: bool = False


def theirs(pair: Pair, slip: Slip | None = None) -> Curve:
    """The same job by LlamaForCausalLM, LoRA of peft, torch's AdamW and clipping, transformers' schedule."""
    slip, settings = slip or Slip(), pair.job.optimizer
    base = LlamaForCausalLM.from_pretrained(pair.folder / "base", attn_implementation="eager")
    config = peft.LoraConfig.from_pretrained(pair.folder / "adapter")
    config.lora_alpha = slip.alpha or config.lora_alpha
    model = peft.PeftModel.from_pretrained(base, pair.folder / "adapter", config=config, is_trainable=True).train()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    adamw = (torch.optim.Adam if slip.coupled else torch.optim.AdamW)(
        trained.values(),
        lr=settings.learning_rate,
        betas=(settings.b1, slip.b2 or settings.b2),
        eps=slip.eps or settings.eps,
        weight_decay=settings.weight_decay,
    )
    rate = schedule(settings)
    stepped = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: slip.shift(rate, step))
    losses, norms = [], []
    for batch in batches(pair):
        parts = unpacked(batch)
        counts = [(part["labels"][:, 1:] != -100).sum() for part in parts]
        total = sum(counts)
        adamw.zero_grad()
        loss = 0.0
        for part, count in zip(parts, counts, strict=True):
            share = 1 / len(parts) if slip.mean_of_means else count / total
            mean = model(**part).loss * share
            mean.backward()
            loss += mean.item()
        losses.append(loss)
        norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), slip.clip_norm or settings.clip_norm).item())
        adamw.step()
        stepped.step()
    final = {name.replace(".default", ""): weight.detach().numpy() for name, weight in trained.items()}
    return Curve(np.array(losses), np.array(norms), final)


# -------------------------------------------------------------------- beside each other


class Difference(NamedTuple):
    """Of our run from theirs.

    Attributes:
        losses: |ours - theirs| / theirs of each step.
        adapter: for each A and B, |ours - theirs| / |theirs - start| in the Frobenius norm, after the last step.
    """

    losses: np.ndarray
    adapter: dict[str, float]


def difference(pair: Pair, left: Curve, right: Curve) -> Difference:
    """`left` is ours, `right` theirs. Raises KeyError if their adapters have not the same tensors."""
    start = peft.utils.load_peft_weights(str(pair.folder / "adapter"), device="cpu")
    if not start.keys() == left.adapter.keys() == right.adapter.keys():
        raise KeyError(f"tensors of one adapter only: {sorted(left.adapter.keys() ^ right.adapter.keys())}")
    adapter = {
        name: float(np.linalg.norm(left.adapter[name] - final) / np.linalg.norm(final - start[name].numpy()))
        for name, final in right.adapter.items()
    }
    return Difference(np.abs(left.losses - right.losses) / right.losses, adapter)
