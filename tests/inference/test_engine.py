from dataclasses import replace

import jax
import numpy as np
import peft
import pytest
import torch

from bioinstruct_jax.config import Lora, Shape
from bioinstruct_jax.inference import engine as engine_module
from bioinstruct_jax.inference import slots
from bioinstruct_jax.inference.batches import Branches, Prompt, bucket
from bioinstruct_jax.model.weights import lora_weights
from bioinstruct_jax.shape_settings import RopeScaling
from tests.inference.engines import (
    branches,
    complete,
    engine,
    family,
    greedy,
    prompts,
    random_arrays,
    score,
    uncached,
)
from tests.interop.llama_pairs import FAMILIES, LONGEST
from tests.small import SHAPE

DYNAMIC = Shape(
    **(
        {name: getattr(SHAPE, name) for name in Shape.__dataclass_fields__}
        | {
            "max_position_embeddings": 12,
            "rope_theta": 500.0,
            "rope_scaling": RopeScaling(rope_type="dynamic", factor=3.0),
        }
    )
)
LORA = Lora(rank=4, alpha=8.0)


@pytest.fixture(scope="module")
def arrays():
    return random_arrays(SHAPE)


@pytest.fixture(scope="module")
def adapter():
    random = np.random.default_rng(3)
    return {path: random.normal(0, 0.2, weight.shape) for path, weight in lora_weights(SHAPE, LORA).items()}


def _gaps(engine, requests, pad):
    """Difference of each score to the uncached forward pass of the sequence alone."""
    for request, found in zip(requests, score(engine, requests), strict=True):
        for continuation, (value, best) in zip(request.continuations, found, strict=True):
            start = len(request.context)
            logits = uncached(engine, [*request.context, *continuation][:-1], pad)[start - 1 :]
            logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            assert best == bool((logits.argmax(-1) == continuation).all())
            yield abs(value - logs[np.arange(len(continuation)), continuation].sum())


@pytest.mark.parametrize("sizes", [(1, 1, 1), pytest.param((2, 2, 2), marks=pytest.mark.slow)])
def test_cached_and_branched_equal_the_uncached_forward(sizes, arrays, adapter):
    # Mutations: the ring's roll off by one; a slot's old positions kept when it is refilled; positions not raised by
    # one a step; a choice that sees the choice before it; the first token of a choice predicted from its own column.
    made = engine(SHAPE, arrays | adapter, LORA, sizes=sizes)
    asked = prompts(13)
    assert complete(made, asked) == [greedy(made, prompt) for prompt in asked]
    assert max(_gaps(made, branches(20), 32)) < 2e-5


@pytest.mark.slow
def test_dynamic_scaling_is_that_of_the_whole_sequence(arrays):
    # Mutation: such prompts completed with the cache: a key of the second layer was made with other turns below it.
    made = engine(DYNAMIC, arrays)
    asked = prompts(4, longest=16, seed=1)
    assert max(len(prompt.tokens) + prompt.max_tokens for prompt in asked) > 2 * DYNAMIC.max_position_embeddings
    assert complete(made, asked) == [greedy(made, prompt, pad=None) for prompt in asked]
    alone = [Branches(one.context, (choice,)) for one in branches(3) for choice in one.continuations]
    assert max(_gaps(made, alone, None)) < 2e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_decoding_of_64_tokens_equals_that_of_transformers(name, tmp_path):
    # Far beyond the original context. transformers' cache keeps keys as dynamic scaling turned them when they were
    # new, which is not what the model says of the whole text; without its cache the two agree.
    model, shape, arrays = family(name, tmp_path)
    assert 4 * LONGEST < 5 + 64
    made = engine(shape, arrays)
    random = np.random.default_rng(1)
    asked = [Prompt(random.integers(0, 96, n).astype(np.int32), 64, frozenset()) for n in (5, 9)]
    for prompt, ours in zip(asked, complete(made, asked), strict=True):
        with torch.no_grad():
            theirs = model.generate(
                torch.from_numpy(prompt.tokens[None]).long(),
                attention_mask=torch.ones(1, len(prompt.tokens)),
                max_new_tokens=64,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                use_cache=name != "dynamic",
            )
        assert ours == theirs[0, len(prompt.tokens) :].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llama3", {"rope_theta": 1e4}),
        ("llama31", {"rope_scaling": None}),
        ("linear", {"rope_scaling": None}),
        ("llama2_gqa", {"rms_norm_eps": 1e-2}),
    ],
)
def test_a_setting_that_is_read_wrongly_changes_the_text(name, change, tmp_path):
    _, shape, arrays = family(name, tmp_path)
    wrong = Shape(**({field: getattr(shape, field) for field in Shape.__dataclass_fields__} | change))
    asked = [Prompt(np.arange(8, dtype=np.int32), 64, frozenset())]
    assert complete(engine(shape, arrays), asked) != complete(engine(wrong, arrays), asked)


def test_greedy_decoding_with_an_adapter_equals_that_of_peft(tmp_path):
    # Mutation: the adapter left out, or scaled by alpha instead of alpha / r.
    model, shape, arrays = family("llama2_gqa", tmp_path)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = peft.get_peft_model(model, config).eval()
    torch.manual_seed(1)
    for key, parameter in tuned.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, 0, 0.1)
    named = {key.replace(".default", ""): parameter for key, parameter in tuned.named_parameters()}
    arrays |= {
        path: np.stack(
            [weight.from_hub(named[weight.hub.format(i=i)].detach().numpy()) for i in range(shape.num_hidden_layers)]
        )
        for path, weight in lora_weights(shape, LORA).items()
    }
    prompt = Prompt(np.arange(7, dtype=np.int32), 64, frozenset())
    with torch.no_grad():
        theirs = tuned.generate(
            input_ids=torch.arange(7)[None],
            attention_mask=torch.ones(1, 7),
            max_new_tokens=64,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    assert complete(engine(shape, arrays, LORA), [prompt]) == [theirs[0, 7:].tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}])
def test_results_do_not_depend_on_batch_order_or_padding(settings, arrays):
    # Mutations: the random key folded with the slot; a prompt's padding seen; repetition seen in another slot.
    asked = [
        Prompt(one.tokens, one.max_tokens, one.ends, **(settings | {"seed": i} if settings else {}))
        for i, one in enumerate(prompts(11, seed=4))
    ]
    wanted = complete(engine(SHAPE, arrays, slots=1), asked)
    random = np.random.default_rng(0)
    for slots_ in (3, 64):
        made = engine(SHAPE, arrays, slots=slots_)
        order = random.permutation(len(asked)).tolist()
        longer = Prompt(np.arange(40, dtype=np.int32), 60, frozenset(), **settings)  # others are padded to it
        found = complete(made, [asked[i] for i in order] + [longer])
        assert found[:-1] == [wanted[i] for i in order]


@pytest.mark.slow
def test_a_cache_that_shrinks_while_slots_are_live_changes_nothing(arrays, monkeypatch):
    # Mutations: the oldest columns kept; not turned before it is cut; `column` kept; `needed` of what waits alone.
    asked = [Prompt(np.arange(3, dtype=np.int32) + i, 60 + i, frozenset()) for i in range(2)]
    asked += [replace(prompt, max_tokens=5 + i) for i, prompt in enumerate(prompts(30, longest=20, most=10, seed=4))]
    wanted = [complete(engine(SHAPE, arrays, slots=1), [one])[0] for one in asked]
    shrunk, shrink = [], slots.shrink

    def counted(now, columns):
        shrunk.append((columns, int(now.live.sum())))
        return shrink(now, columns)

    monkeypatch.setattr(slots, "shrink", counted)
    assert complete(engine(SHAPE, arrays, slots=4), asked) == wanted
    assert [columns for columns, _ in shrunk] == [32]
    assert shrunk[0][1] > 0


def test_scores_do_not_depend_on_batch_order_or_padding(arrays):
    # lm-eval#3842. Mutation: a padded position that is attended to.
    made, asked = engine(SHAPE, arrays), branches(12, seed=2)
    wanted = [score(made, [one])[0] for one in asked]
    order = np.random.default_rng(0).permutation(len(asked)).tolist()
    longer = Branches(np.arange(60, dtype=np.int32) % 96, (np.arange(9, dtype=np.int32),))
    found = score(made, [longer] + [asked[i] for i in order])[1:]
    for i, scores in zip(order, found, strict=True):
        for (value, best), (other, same) in zip(scores, wanted[i], strict=True):
            assert abs(value - other) < 1e-5
            assert best == same


def test_sampling_is_seeded(arrays):
    made = engine(SHAPE, arrays)
    one = prompts(1, most=30, temperature=1.0)[0]
    asked = [Prompt(one.tokens, 30, frozenset(), temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    first, again, other = complete(made, asked)
    assert first == again
    assert first != other


def test_a_completion_ends_at_an_end_token_at_its_limit_or_when_told(arrays):
    made = engine(SHAPE, arrays)
    free = complete(made, [Prompt(np.arange(5, dtype=np.int32), 30, frozenset())])[0]
    last = free.index(free[12])
    ended = complete(made, [Prompt(np.arange(5, dtype=np.int32), 30, frozenset({free[12], 1000}))])[0]
    assert ended == free[: last + 1]
    first = complete(made, [Prompt(np.arange(5, dtype=np.int32), 30, frozenset({free[0]}))])[0]
    assert first == free[:1]

    got: list[int] = []

    def enough(_, tokens, __):
        got.extend(tokens)
        return len(got) >= 4

    made.complete([Prompt(np.arange(5, dtype=np.int32), 30, frozenset())], enough, 1)
    assert got == free[:4]


@pytest.mark.slow
def test_a_job_compiles_a_bounded_number_of_programs(arrays):
    # Mutation: prompts padded to the longest of their batch instead of a bucket.
    jax.clear_caches()
    made = engine(SHAPE, arrays, slots=8)
    asked = prompts(60, longest=60, most=40)
    complete(made, asked)
    lengths = {bucket(n) for n in range(1, 61)}
    caches = 1 + slots.shrink._cache_size()
    assert caches <= 3
    assert slots.decode._cache_size() <= caches
    assert slots.admit._cache_size() <= caches * len(lengths)
    before = slots.admit._cache_size(), slots.decode._cache_size()
    complete(made, prompts(60, longest=60, most=40))
    assert (slots.admit._cache_size(), slots.decode._cache_size()) == before

    rows = [Branches(np.arange(n, dtype=np.int32), (np.arange(3, dtype=np.int32),) * 4) for n in range(1, 61)]
    score(made, rows)
    assert engine_module._score._cache_size() <= len({bucket(n + 8) for n in range(1, 61)})


def test_a_free_slot_is_given_to_the_next_prompt(arrays, monkeypatch):
    # One long answer beside many short ones: as many steps as the long one has, not a long one for each batch.
    steps = []
    decode = slots.decode

    def counted(*args):
        now, out = decode(*args)
        steps.append(int((jax.device_get(out) >= 0).any(axis=1).sum()))
        return now, out

    monkeypatch.setattr(slots, "decode", counted)
    made = engine(SHAPE, arrays, slots=4)
    asked = [Prompt(np.arange(4, dtype=np.int32), 100, frozenset())]
    asked += [Prompt(np.arange(4, dtype=np.int32), 5, frozenset()) for _ in range(30)]
    assert [len(tokens) for tokens in complete(made, asked)] == [100] + [5] * 30
    assert sum(steps) < 1.3 * 100
