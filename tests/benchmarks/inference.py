"""Speed of completing and of scoring choices, beside transformers on the same model, tokens, machine and run.

    python -m tests.benchmarks.inference

A LLaMA with random weights, float32. transformers runs with its cache, batches sorted by length and padded; the batch
size of each side is the faster of two. Times are of a second call, so that neither compiling (ours) nor warming up
(theirs) is in them; what the first call of ours took is printed beside. Both must give the same tokens and the same
scores, or the benchmark fails.

Where a gain comes from is shown by taking its cause away: completions of equal length leave nothing for slots to
refill, and transformers is also timed with logits formed for the wanted positions alone.
"""

import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteria, StoppingCriteriaList
from upath import UPath

from bioinstruct_jax.inference.batches import Branches, Prompt
from bioinstruct_jax.inference.engine import Engine
from bioinstruct_jax.interop import hub_config
from tests.inference import engines

SIZES = {
    "vocab_size": 32_000,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
}
PROMPTS, ITEMS = 64, 100
BATCHES = (16, 32)


def main() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, bos_token_id=1, eos_token_id=2, initializer_range=0.1)).eval()
    count = sum(parameter.numel() for parameter in model.parameters())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "torch", "transformers"))
    device, threads = jax.devices()[0].device_kind, torch.get_num_threads()
    print(f"{count / 1e6:.1f} M parameters, float32; {device}, {threads} torch threads")
    print(f"Python {platform.python_version()}, {versions}\n")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model.save_pretrained(folder)
        shape, arrays = hub_config.read_shape(UPath(folder)), _arrays(Path(folder))
        made = {size: engines.engine(shape, arrays, slots=size) for size in BATCHES}
        completions("equal lengths: 48 tokens each", made, model, _prompts(np.full(PROMPTS, 48)))
        random = np.random.default_rng(1)
        completions("unequal lengths: 4 to 96 tokens", made, model, _prompts(random.integers(4, 97, PROMPTS)))
        choices("letters: 4 choices of 1 token", made[BATCHES[0]], model, _items(1, 1))
        choices("texts: 4 choices of 2 to 8 tokens", made[BATCHES[0]], model, _items(2, 8))


def _arrays(folder: Path) -> dict[str, Any]:
    from tests.interop.llama_pairs import load

    return load(folder, jnp.float32)[1]


def _prompts(limits: np.ndarray) -> list[Prompt]:
    random = np.random.default_rng(0)
    lengths = np.exp(random.uniform(np.log(16), np.log(256), PROMPTS)).astype(int)
    return [
        Prompt(random.integers(3, SIZES["vocab_size"], length).astype(np.int32), int(limit), frozenset())
        for length, limit in zip(lengths, limits, strict=True)
    ]


def _items(shortest: int, longest: int) -> list[Branches]:
    random = np.random.default_rng(2)

    def tokens(count: int) -> np.ndarray:
        return random.integers(3, SIZES["vocab_size"], count).astype(np.int32)

    return [
        Branches(
            tokens(int(random.integers(60, 300))),
            tuple(tokens(int(random.integers(shortest, longest + 1))) for _ in range(4)),
        )
        for _ in range(ITEMS)
    ]


def _best(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the first call and of the second, and the result."""
    seconds, result = [], None
    for _ in range(2):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1], result


def _fastest(call: Callable[[int], Any], sizes: tuple[int, ...]) -> tuple[int, float, float, Any]:
    """The batch size with the least seconds: size, first call, best call, result."""
    runs = [(size, *_best(lambda size=size: call(size))) for size in sizes]
    return min(runs, key=lambda run: run[2])


# -------------------------------------------------------------------- completing


class _Limits(StoppingCriteria):
    """Ends each row at its own number of tokens, as an end token would."""

    def __init__(self, start: int, limits: list[int]):
        self.ends = start + torch.tensor(limits)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return input_ids.shape[1] >= self.ends


def _generate(model: LlamaForCausalLM, prompts: list[Prompt], size: int) -> list[list[int]]:
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].tokens))
    written: dict[int, list[int]] = {}
    for first in range(0, len(order), size):
        batch = order[first : first + size]
        width = max(len(prompts[i].tokens) for i in batch)
        ids, mask = torch.zeros(len(batch), width, dtype=torch.long), torch.zeros(len(batch), width, dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, width - len(prompts[i].tokens) :] = torch.from_numpy(prompts[i].tokens)
            mask[row, width - len(prompts[i].tokens) :] = 1
        limits = [prompts[i].max_tokens for i in batch]
        out = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max(limits),
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([_Limits(width, limits)]),
        )
        for row, i in enumerate(batch):
            written[i] = out[row, width : width + prompts[i].max_tokens].tolist()
    return [written[i] for i in range(len(prompts))]


def completions(name: str, made: dict[int, Engine], model: LlamaForCausalLM, prompts: list[Prompt]) -> None:
    """Print the seconds of both, and check that they write the same."""
    their_size, _, theirs, their_tokens = _fastest(lambda size: _generate(model, prompts, size), BATCHES)
    our_size, first, ours, our_tokens = _fastest(lambda size: engines.complete(made[size], prompts), BATCHES)
    same = sum(a == b for a, b in zip(our_tokens, their_tokens, strict=True))
    if same < 0.95 * len(prompts):  # a tie within rounding may be broken either way
        raise SystemExit(f"only {same} of {len(prompts)} completions are the same")
    tokens = sum(map(len, our_tokens))
    print(
        f"{name} ({len(prompts)} prompts of 16 to 256 tokens, {tokens:,} tokens written, {same} of them the same text)"
    )
    print(f"  transformers  batch {their_size:>3}  {theirs:6.2f} s  {tokens / theirs:8,.0f} tokens/s")
    speed = f"{tokens / ours:8,.0f} tokens/s"
    print(f"  ours          slots {our_size:>3}  {ours:6.2f} s  {speed}  (first call {first:.1f} s)")
    print(f"  ratio {theirs / ours:.2f}\n", flush=True)


# -------------------------------------------------------------------- scoring


def _score(model: LlamaForCausalLM, items: list[Branches], size: int, wanted_only: bool) -> list[list[float]]:
    """As evaluators do: a row for each choice, or one for all where each is a single token."""
    rows = []
    for i, item in enumerate(items):
        if all(len(choice) == 1 for choice in item.continuations):
            rows.append((i, None, item.context, np.concatenate(item.continuations)))
        else:
            rows += [(i, j, np.concatenate([item.context, c[:-1]]), c) for j, c in enumerate(item.continuations)]
    rows.sort(key=lambda row: -len(row[2]))
    found = [[0.0] * 4 for _ in items]
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        width = max(len(tokens) for _, _, tokens, _ in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, (_, _, tokens, _) in enumerate(batch):
            ids[row, : len(tokens)] = torch.from_numpy(tokens)
        places = [
            list(range(len(tokens) - (1 if j is None else len(choice)), len(tokens))) for _, j, tokens, choice in batch
        ]
        if wanted_only:
            hidden = model.model(ids).last_hidden_state
            flat = torch.cat([hidden[row, at] for row, at in enumerate(places)])
            logs = torch.log_softmax(model.lm_head(flat), -1).split([len(at) for at in places])
        else:
            all_logs = torch.log_softmax(model(ids).logits, -1)
            logs = [all_logs[row, at] for row, at in enumerate(places)]
        for (i, j, _, choice), log in zip(batch, logs, strict=True):
            if j is None:
                found[i] = log[0, torch.from_numpy(choice).long()].tolist()
            else:
                found[i][j] = float(log[torch.arange(len(choice)), torch.from_numpy(choice).long()].sum())
    return found


def choices(name: str, made: Engine, model: LlamaForCausalLM, items: list[Branches]) -> None:
    """Print the seconds of both, and check that they score the same."""
    full_size, _, full, scores = _fastest(lambda size: _score(model, items, size, False), BATCHES)
    some_size, _, some, _ = _fastest(lambda size: _score(model, items, size, True), BATCHES)
    first, ours, our_scores = _best(lambda: engines.score(made, items))
    gap = np.abs(np.array([[value for value, _ in item] for item in our_scores]) - np.array(scores)).max()
    if gap > 1e-3:
        raise SystemExit(f"scores differ by up to {gap}")
    print(f"{name} ({len(items)} items, contexts of 60 to 299 tokens; largest difference {gap:.1e} nats)")
    print(f"  transformers, all logits     batch {full_size:>3}  {full:6.2f} s  {len(items) / full:6.1f} items/s")
    print(f"  transformers, wanted logits  batch {some_size:>3}  {some:6.2f} s  {len(items) / some:6.1f} items/s")
    speed = f"{len(items) / ours:6.1f} items/s"
    print(f"  ours                                    {ours:6.2f} s  {speed}  (first call {first:.1f} s)")
    print(f"  ratio {full / ours:.2f} to all logits, {some / ours:.2f} to wanted logits\n", flush=True)


if __name__ == "__main__":
    main()
