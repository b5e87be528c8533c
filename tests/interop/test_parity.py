"""Base and adapter, in one forward and backward pass, beside LlamaForCausalLM and peft: logits, loss and gradients."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.config import PROJECTIONS, Lora, Mesh, Shape
from bioinstruct_jax.interop import peft_adapter
from bioinstruct_jax.interop.hub_folder import hub_tensors
from bioinstruct_jax.model import kernels
from bioinstruct_jax.model.loss import Batch, cross_entropy, targets
from bioinstruct_jax.model.weights import lora_weights
from bioinstruct_jax.training.sharding import make_mesh
from tests.interop.llama_pairs import FAMILIES, LENGTH, LLAMA3, LONGEST, build, entropy_share, load, reference, tokens

LOGITS, RELATIVE = 1e-4, 1e-4  # largest absolute difference of a logit; relative one of the loss and of each gradient


class Pass(NamedTuple):
    """Logits [B, S, V], loss in nats per target token, and the gradients of A and B by PEFT name."""

    logits: np.ndarray
    loss: float
    gradients: dict[str, np.ndarray]


class Gap(NamedTuple):
    """Of ours from theirs, in tolerances; `gradients` is the worst of all A and B, in the Frobenius norm."""

    logits: float
    loss: float
    gradients: float


def adapted(folder: Path, settings: dict[str, Any], lora: dict[str, Any]) -> torch.nn.Module:
    """A peft model whose base and adapter are saved in `folder`.

    Rows of its embedding differ in length by a factor of thirty, so that epsilon matters; B is far from zero.
    """
    base = reference(0, **settings)
    with torch.no_grad():
        for layer in base.model.layers:  # sharp still, but rounding errors grow less from layer to layer
            layer.self_attn.q_proj.weight.mul_(0.6)
        embedding = base.model.embed_tokens.weight
        embedding.mul_(10 ** torch.empty(len(embedding), 1).uniform_(-1.5, 0))
    base.save_pretrained(folder / "base")
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **lora)).eval()
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, 0, 0.05)
    model.save_pretrained(folder / "adapter")
    return model


def theirs(model: torch.nn.Module, rows: np.ndarray, weights: np.ndarray) -> Pass:
    ids = torch.from_numpy(rows)
    out = model(ids, labels=torch.where(torch.from_numpy(weights) > 0, ids, -100))
    out.loss.backward()
    gradients = {n.replace(".default", ""): w.grad.numpy() for n, w in model.named_parameters() if w.grad is not None}
    return Pass(out.logits.detach().numpy(), out.loss.item(), gradients)


def unchanged(shape: Shape, lora: Lora) -> tuple[Shape, Lora]:
    return shape, lora


def ours(
    folder: Path,
    rows: np.ndarray,
    weights: np.ndarray,
    change: Callable[[Shape, Lora], tuple[Shape, Lora]] = unchanged,
) -> Pass:
    """From the same files; `change` reads a setting wrongly."""
    read_shape, base = load(folder / "base")
    read_lora, adapter = peft_adapter.load(UPath(folder / "adapter"), read_shape)
    shape, lora = change(read_shape, read_lora)
    table = lora_weights(read_shape, read_lora)
    with jax.set_mesh(make_mesh(Mesh(), jax.devices()[:1])):
        ones = jnp.ones(rows.shape, jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(rows.shape[1]), rows.shape)
        batch = Batch(jnp.asarray(rows, jnp.int32), ones, positions, jnp.asarray(weights))

        def mean(adapter: dict, base: dict) -> tuple[jax.Array, jax.Array]:
            logits = build(shape, base | adapter, lora)(batch.tokens, batch.positions, batch.segments)
            labels, counted = targets(batch)
            return jnp.sum(cross_entropy(logits, labels) * counted) / jnp.sum(counted), logits

        run = jax.jit(jax.value_and_grad(mean, has_aux=True))
        (loss, logits), gradients = jax.device_get(run({p: jnp.asarray(a) for p, a in adapter.items()}, base))
    by_name = {n: table[p].to_hub(gradients[p][layer]) for n, p, layer in hub_tensors(table)}
    return Pass(logits, float(loss), by_name)


def gap(left: Pass, right: Pass) -> Gap:
    gradients = [
        np.linalg.norm(left.gradients[name] - wanted) / np.linalg.norm(wanted)
        for name, wanted in right.gradients.items()
    ]
    return Gap(
        float(np.abs(left.logits - right.logits).max()) / LOGITS,
        abs(left.loss - right.loss) / right.loss / RELATIVE,
        float(max(gradients)) / RELATIVE,
    )


def answer(rows: np.ndarray) -> np.ndarray:
    """Weights: the last four tokens of the last row. The mean over many targets would hide most of what changes."""
    weights = np.zeros(rows.shape, np.int32)
    weights[-1, -4:] = 1
    return weights


ALL = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """For each family asked for, once: its folder and what peft computes."""
    made: dict[str, tuple[Path, Pass]] = {}

    def of(family: str) -> tuple[Path, Pass]:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            model, rows = adapted(folder, FAMILIES[family], ALL), tokens()
            assert entropy_share(model, rows) < 0.5
            made[family] = folder, theirs(model, rows, answer(rows))
        return made[family]

    return of


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_loss_and_gradients_are_those_of_peft(family, families):
    # Mutations: those of SLIPS and the grouping of heads below, kept as tests.
    assert LENGTH > LONGEST
    folder, wanted = families(family)
    seen = gap(ours(folder, tokens(), answer(tokens())), wanted)
    assert max(seen) < 1, seen


def _shape(**fields: Any) -> Callable[[Shape, Lora], tuple[Shape, Lora]]:
    return lambda shape, lora: (replace(shape, **fields), lora)


def _rope(**fields: Any) -> Callable[[Shape, Lora], tuple[Shape, Lora]]:
    return lambda shape, lora: (replace(shape, rope_scaling=replace(shape.rope_scaling, **fields)), lora)


SLIPS = {
    "theta": ("llama3", _shape(rope_theta=1e4)),
    "theta of a scaled one": ("llama31", _shape(rope_theta=1e4)),
    "no llama3 scaling": ("llama31", _shape(rope_scaling=None)),
    "no llama3 scaling, tied": ("llama32_tied", _shape(rope_scaling=None)),
    "llama3 factor": ("llama31", _rope(factor=8.0)),
    "llama3 bands": ("llama31", _rope(high_freq_factor=2.0)),
    "llama3 original length": ("llama31", _rope(original_max_position_embeddings=4 * LONGEST)),
    "no linear scaling": ("linear", _shape(rope_scaling=None)),
    "no dynamic scaling": ("dynamic", _shape(rope_scaling=None)),
    "dynamic original length": ("dynamic", _shape(max_position_embeddings=2 * LONGEST)),
    "epsilon of LLaMA 1 for Llama 2": ("llama2_gqa", _shape(rms_norm_eps=1e-6)),
    "alpha": ("llama2_gqa", lambda shape, lora: (shape, replace(lora, alpha=2 * lora.alpha))),
    "scale of rsLoRA": ("llama2_gqa", lambda shape, lora: (shape, replace(lora, rslora=True))),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_setting_that_is_read_wrongly_is_a_hundred_tolerances_away(slip, families):
    # maxtext#1839, levanter#649, tunix's llama3.
    # What makes the parity above worth something: logits, loss and gradients each show it.
    family, change = SLIPS[slip]
    folder, wanted = families(family)
    seen = gap(ours(folder, tokens(), answer(tokens()), change), wanted)
    assert min(seen) > 100, seen


def test_heads_grouped_the_wrong_way_are_a_hundred_tolerances_away(families, monkeypatch):
    # Query head n belongs to key head n // G; here to n % K, which for K = G is the transposed order.
    folder, wanted = families("llama2_gqa")
    attend = kernels.attend

    def wrong(q_BSKGH: jax.Array, *others: jax.Array) -> jax.Array:
        spec = jax.typeof(q_BSKGH).sharding.spec
        mixed = attend(jax.reshard(q_BSKGH.swapaxes(2, 3), spec), *others)
        return jax.reshard(mixed.swapaxes(2, 3), spec)

    monkeypatch.setattr(kernels, "attend", wrong)
    seen = gap(ours(folder, tokens(), answer(tokens())), wanted)
    assert min(seen) > 100, seen


@st.composite
def bases(draw) -> dict[str, Any]:
    """Settings of a LlamaConfig of any small shape, and under ``old`` whether config.json has the older rope fields."""
    groups, keys, size = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([4, 6, 10, 16]))
    heads = groups * keys
    rope: dict[str, Any] = {"rope_theta": draw(st.sampled_from([300.0, 1e4, 5e5]))}
    rope["rope_type"] = draw(st.sampled_from(["default", "linear", "dynamic", "llama3"]))
    if rope["rope_type"] != "default":
        rope["factor"] = draw(st.floats(1, 9))
    if rope["rope_type"] == "llama3":
        rope |= LLAMA3 | {"factor": rope["factor"], "original_max_position_embeddings": draw(st.integers(4, 40))}
    return {
        "vocab_size": draw(st.integers(5, 99)),
        "hidden_size": heads * draw(st.sampled_from([size, 5, 8])),  # with head_dim given, the two need not agree
        "intermediate_size": draw(st.integers(1, 50)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "head_dim": size,
        "max_position_embeddings": draw(st.sampled_from([LONGEST, 64])),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-5, 1e-3])),
        "tie_word_embeddings": draw(st.booleans()),
        "attention_bias": draw(st.booleans()),
        "mlp_bias": draw(st.booleans()),
        "rope_parameters": rope,
        "old": draw(st.booleans()),
    }


PROJECTION_SETS = st.lists(st.sampled_from(PROJECTIONS), min_size=1, unique=True)


@pytest.mark.slow
@examples(max_examples=8, suppress_health_check=list(HealthCheck))
@given(bases(), PROJECTION_SETS, st.integers(1, 6), st.integers(1, 20), st.booleans())
def test_any_shape_any_adapter(tmp_path_factory, base, targets, rank, alpha, rslora):
    # Mutations: head_dim ignored where hidden_size / heads differs; mlp_bias read as attention_bias; `type` ignored.
    settings = {name: value for name, value in base.items() if name != "old"}
    lora = {"r": rank, "lora_alpha": alpha, "target_modules": targets, "use_rslora": rslora}
    folder = tmp_path_factory.mktemp("any")
    model = adapted(folder, settings, lora)
    if base["old"]:
        file = folder / "base" / "config.json"
        fields = json.loads(file.read_text())
        rope = fields.pop("rope_parameters")
        fields |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope | {"type": rope.pop("rope_type")}}
        if fields["rope_scaling"]["type"] == "default":
            fields["rope_scaling"] = None
        file.write_text(json.dumps(fields))
    rows = tokens(vocabulary=settings["vocab_size"])
    seen = gap(ours(folder, rows, answer(rows)), theirs(model, rows, answer(rows)))
    assert max(seen) < 1, (seen, base)
