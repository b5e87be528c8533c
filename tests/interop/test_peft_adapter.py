import json
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from upath import UPath

from bioinstruct_jax.config import PROJECTIONS, Lora, Mesh, Optimizer, Shape
from bioinstruct_jax.interop import peft_adapter, peft_config, vllm_check
from bioinstruct_jax.model.loss import Batch, loss_sum
from bioinstruct_jax.model.weights import lora_weights
from bioinstruct_jax.training.optimizer import make_optimizer
from bioinstruct_jax.training.sharding import make_mesh
from tests.interop.llama_pairs import FAMILIES, LENGTH, build, jax_logits, load, reference, tokens, torch_logits

RECORD = {"name": "alpaca", "hash": "0" * 64}
LORAS = {
    "all": Lora(rank=4, alpha=8.0),
    "rslora": Lora(rank=4, alpha=6.5, rslora=True),
    "two": Lora(rank=3, alpha=5.0, targets=("v_proj", "q_proj")),
    "wide": Lora(rank=24, alpha=3.0, dropout=0.1, targets=("o_proj", "down_proj")),
}


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<s>": 0, "</s>": 1, "a": 2}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return tokenizer


def _random(shape: Shape, lora: Lora, seed: int = 0) -> dict[str, np.ndarray]:
    """An adapter whose B is far from zero."""
    generator = np.random.default_rng(seed)
    table = lora_weights(shape, lora)
    return {path: generator.normal(0, 0.1, weight.shape).astype(np.float32) for path, weight in table.items()}


def _save(folder, arrays, lora: Lora, shape: Shape, base: str = "owner/base") -> UPath:
    peft_adapter.save(
        UPath(folder),
        arrays,
        lora=lora,
        shape=shape,
        base=base,
        revision=None,
        tokenizer=_tokenizer(),
        template_record=RECORD,
    )
    return UPath(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    reference(0, **FAMILIES["llama2_gqa"]).save_pretrained(folder)
    return *load(folder), folder


def _fresh() -> torch.nn.Module:
    return reference(0, **FAMILIES["llama2_gqa"])


@pytest.mark.parametrize("name", LORAS)
def test_peft_loads_ours_with_equal_logits(name, base, tmp_path):
    # Mutations: alpha / r for rsLoRA; A and B swapped; lora_b.to_hub without .T; alpha not written.
    shape, arrays, _ = base
    lora = LORAS[name]
    adapter = _random(shape, lora)
    folder = _save(tmp_path / "adapter", adapter, lora, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft: unknown settings, missing tensors
        theirs = peft.PeftModel.from_pretrained(_fresh(), str(folder)).eval()
    rows = tokens()
    wanted = torch_logits(theirs, rows)
    assert np.abs(wanted - torch_logits(_fresh(), rows)).max() > 1e-2
    ours = jax_logits(shape, arrays | {p: jnp.asarray(a) for p, a in adapter.items()}, rows, lora)
    assert np.abs(ours - wanted).max() < 1e-4


PEFT_MADE = {
    "list": {"r": 4, "lora_alpha": 9, "target_modules": ["q_proj", "up_proj"]},
    "regex": {"r": 4, "lora_alpha": 16, "target_modules": r".*\.layers\.[02]\.(self_attn\.(q|v)|mlp\.down)_proj"},
    "all_linear": {"r": 2, "lora_alpha": 7, "target_modules": "all-linear", "use_rslora": True},
    "layers": {"r": 4, "target_modules": ["q_proj", "k_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    "exclude": {"r": 4, "target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*\.2\.self_attn\.k_proj"},
    "full_names": {"r": 4, "target_modules": ["model.layers.1.mlp.gate_proj", "o_proj"]},
    "ranks": {"r": 4, "lora_alpha": 9, "target_modules": ["q_proj", "up_proj"], "rank_pattern": {"up_proj": 7}},
    "alphas": {
        "r": 4,
        "lora_alpha": 3,
        "target_modules": "all-linear",
        "alpha_pattern": {"model.layers.1.self_attn.q_proj": 50, "q_proj": 1.5, r"mlp\.\w+": 20},
    },
    "rslora_patterns": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": r".*\.(q|v|o|down)_proj",
        "use_rslora": True,
        "rank_pattern": {r"layers\.[12]\.self_attn\.(q|v)_proj": 2, "o_proj": 9},
        "alpha_pattern": {"^model.layers.0.mlp.down_proj": 25, r"layers\.1\..*": 2.5},
    },
    "patterns_in_layers": {
        "r": 3,
        "target_modules": ["k_proj", "gate_proj"],
        "layers_to_transform": [0, 2],
        "rank_pattern": {"layers.2.mlp.gate_proj": 1, "nothing": 64},
        "alpha_pattern": {"layers.2.mlp.gate_proj": 12},
    },
}
PATTERNED = ["ranks", "alphas", "rslora_patterns", "patterns_in_layers"]


def _peft_made(name: str, folder) -> torch.nn.Module:
    model = peft.get_peft_model(_fresh(), peft.LoraConfig(task_type="CAUSAL_LM", **PEFT_MADE[name])).eval()
    torch.manual_seed(1)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, 0, 0.1)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", PEFT_MADE)
def test_ours_loads_what_peft_made_with_equal_logits(name, base, tmp_path):
    # Mutations: a layer's A written to layer 0; layers_to_transform ignored; the factor on A; no factor.
    shape, arrays, _ = base
    model, rows = _peft_made(name, tmp_path), tokens()
    assert np.abs(torch_logits(model, rows) - torch_logits(_fresh(), rows)).max() > 1e-2
    lora, adapter = peft_adapter.load(UPath(tmp_path), shape)
    assert np.abs(jax_logits(shape, arrays | adapter, rows, lora) - torch_logits(model, rows)).max() < 1e-4


@pytest.mark.parametrize("name", PATTERNED)
def test_patterns_are_saved_as_one_rank_and_one_alpha(name, base, tmp_path):
    # What vLLM takes, which knows no patterns. Mutation: rank_pattern written into adapter_config.json.
    shape, *_ = base
    model, rows = _peft_made(name, tmp_path / "theirs"), tokens()
    lora, adapter = peft_adapter.load(UPath(tmp_path / "theirs"), shape)
    folder = _save(tmp_path / "ours", adapter, lora, shape)
    peft_adapter.verify(folder, adapter, lora=lora, shape=shape)
    assert vllm_check.problems(UPath(tmp_path / "theirs"))
    assert vllm_check.problems(folder) == []
    again = peft.PeftModel.from_pretrained(_fresh(), str(folder)).eval()
    assert np.abs(torch_logits(again, rows) - torch_logits(model, rows)).max() < 1e-4


@pytest.mark.parametrize("name", ["regex", "all_linear", *PATTERNED])
def test_training_goes_on_from_what_peft_made_with_equal_loss_and_gradients(name, base, tmp_path):
    # Mutations: the scale applied twice; the factor folded into A.
    shape, arrays, _ = base
    model, rows = _peft_made(name, tmp_path), tokens()
    lora, loaded = peft_adapter.load(UPath(tmp_path), shape)
    adapter = {path: jnp.asarray(array) for path, array in loaded.items()}

    labels = torch.from_numpy(rows)
    loss = model(labels, labels=labels).loss
    loss.backward()
    with jax.set_mesh(make_mesh(Mesh(), jax.devices()[:1])):
        ones = jnp.ones(rows.shape, jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(LENGTH), rows.shape)
        batch = Batch(tokens=jnp.asarray(rows), segments=ones, positions=positions, weights=ones)

        def mean(adapter):
            total, count = loss_sum(build(shape, arrays | adapter, lora), batch)
            return total / count

        ours, gradients = jax.jit(jax.value_and_grad(mean))(adapter)
    assert abs(float(ours) - loss.item()) < 1e-4 * loss.item()
    table = lora_weights(shape, lora)
    factors = peft_adapter.find(UPath(tmp_path), shape).factors
    checked = 0
    for key, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        hub = key.replace(".default", "")
        for path, weight in table.items():
            for layer in range(shape.num_hidden_layers):
                if weight.hub.format(i=layer) == hub:
                    checked += 1
                    gradient, wanted = weight.to_hub(np.asarray(gradients[path][layer])), parameter.grad.numpy()
                    if "lora_B" in hub:
                        wanted = wanted / factors[peft_config.module_of(hub)]
                    padding = np.ones(gradient.shape, bool)
                    padding[: wanted.shape[0], : wanted.shape[1]] = False
                    assert not gradient[padding].any(), hub
                    gradient = gradient[~padding].reshape(wanted.shape)
                    assert np.linalg.norm(gradient - wanted) < 1e-4 * np.linalg.norm(wanted), hub
    assert checked == len(load_file(tmp_path / "adapter_model.safetensors"))
    for path, gradient in gradients.items():  # what the adapter leaves out is zero, and stays zero in training
        for layer in range(shape.num_hidden_layers):
            assert np.any(gradient[layer]) == np.any(adapter[path][layer])


def test_what_was_padded_stays_zero_in_training(base, tmp_path):
    # Mutation: columns of A padded with ones.
    shape, arrays, _ = base
    _peft_made("rslora_patterns", tmp_path)
    found = peft_adapter.find(UPath(tmp_path), shape)
    lora, loaded = peft_adapter.load(UPath(tmp_path), shape)
    adapter = {path: jnp.asarray(array) for path, array in loaded.items()}
    rows = tokens()
    with jax.set_mesh(make_mesh(Mesh(), jax.devices()[:1])):
        ones = jnp.ones(rows.shape, jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(LENGTH), rows.shape)
        batch = Batch(tokens=jnp.asarray(rows), segments=ones, positions=positions, weights=ones)
        adamw = make_optimizer(Optimizer(learning_rate=0.05, weight_decay=0.1), 5)

        @jax.jit
        def step(adapter, state):
            gradients = jax.grad(lambda adapter: loss_sum(build(shape, arrays | adapter, lora), batch)[0])(adapter)
            updates, state = adamw.update(gradients, state, adapter)
            return optax.apply_updates(adapter, updates), state

        state = adamw.init(adapter)
        for _ in range(5):
            adapter, state = step(adapter, state)
    padded = 0
    for path, weight in found.table.items():
        for layer in range(shape.num_hidden_layers):
            before, after = (weight.to_hub(np.asarray(a[path][layer])) for a in (loaded, adapter))
            assert np.array_equal(before == 0, after == 0), (path, layer)
            assert not before.any() or np.abs(before - after).max() > 1e-3
            padded += (before == 0).sum()
    assert padded > 100


@settings(max_examples=15)
@given(
    rank=st.integers(1, 5),
    alpha=st.one_of(st.integers(1, 64).map(float), st.floats(0.1, 64)),
    rslora=st.booleans(),
    targets=st.lists(st.sampled_from(PROJECTIONS), min_size=1, unique=True),
    seed=st.integers(0, 99),
)
def test_saved_is_loaded_bit_for_bit(rank, alpha, rslora, targets, seed, tmp_path_factory):
    shape = Shape(vocab_size=9, hidden_size=8, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2)
    lora = Lora(rank=rank, alpha=alpha, rslora=rslora, targets=tuple(targets))
    arrays = _random(shape, lora, seed)
    folder = _save(tmp_path_factory.mktemp("a"), arrays, lora, shape)
    peft_adapter.verify(folder, arrays, lora=lora, shape=shape)
    back_lora, back = peft_adapter.load(folder, shape)
    assert replace(back_lora, targets=lora.targets) == lora
    assert set(back_lora.targets) == set(lora.targets)
    for path, array in arrays.items():
        np.testing.assert_array_equal(back[path], array)


SMALL = Shape(vocab_size=9, hidden_size=8, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2)
TWO = Lora(rank=2, alpha=4.0, targets=("q_proj", "v_proj"))


def test_everything_needed_stands_beside_it(tmp_path):
    arrays = {path: jnp.asarray(array) for path, array in _random(SMALL, TWO).items()}
    folder = _save(tmp_path / "new" / "adapter", arrays, TWO, SMALL)
    assert json.loads((folder / "prompt_template.json").read_text()) == RECORD
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    assert tokenizer.eos_token == "</s>"
    assert tokenizer.chat_template == _tokenizer().chat_template
    fields = json.loads((folder / "adapter_config.json").read_text())
    assert fields["base_model_name_or_path"] == "owner/base"
    tensors = load_file(folder / "adapter_model.safetensors")
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}
    assert tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].shape == (2, 8)


def _edit(folder, change) -> None:
    file = str(folder / "adapter_model.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


KEY = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
DAMAGE = {
    "empty": (lambda t: t.clear(), "holds no tensor"),
    "missing": (lambda t: t.pop(KEY), "v_proj.lora_B.weight is missing"),
    "changed": (lambda t: t[KEY].__setitem__((0, 0), 9.0), "v_proj.lora_b, layer 1, is not what was trained"),
    "nan": (lambda t: t[KEY].__setitem__((0, 0), np.nan), f"{KEY}.*NaN"),
    "shape": (lambda t: t.update({KEY: t[KEY][:, :1].copy()}), rf"{KEY}.*\[8, 1\].*r = 2"),
    "extra": (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": t[KEY]}), "lm_head"),
    "half": (lambda t: t.update({KEY: t[KEY].astype(np.float16)}), "is not what was trained"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_finds_what_is_not_as_it_was_trained(damage, tmp_path):
    # alpaca-lora#293, unsloth#7937. Mutation: comparing key sets only.
    change, message = DAMAGE[damage]
    arrays = _random(SMALL, TWO)
    folder = _save(tmp_path, arrays, TWO, SMALL)
    _edit(folder, change)
    with pytest.raises(ValueError, match=message):
        peft_adapter.verify(folder, arrays, lora=TWO, shape=SMALL)


def test_verify_refuses_an_adapter_that_learnt_nothing(tmp_path):
    # alpaca-lora#293, qlora#44. Mutation: looking at A and B alike.
    arrays = {path: array * ("lora_a" in path) for path, array in _random(SMALL, TWO).items()}
    folder = _save(tmp_path, arrays, TWO, SMALL)
    with pytest.raises(ValueError, match="every B is zero"):
        peft_adapter.verify(folder, arrays, lora=TWO, shape=SMALL)


def test_verify_compares_the_settings(tmp_path):
    arrays = _random(SMALL, TWO)
    folder = _save(tmp_path, arrays, TWO, SMALL)
    with pytest.raises(ValueError, match="read back as"):
        peft_adapter.verify(folder, arrays, lora=replace(TWO, alpha=5.0), shape=SMALL)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 8}}, "r = 8 .*rank_pattern"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"something_new": 1.5}, "something_new"),
        ({"target_modules": "(["}, "no regular expression"),
        ({"target_modules": ["q_proj"]}, "v_proj"),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "o_proj"),
        ({"target_modules": None}, "q_proj"),
        ({"target_modules": 3}, "target_modules"),
        ({"layers_to_transform": "x"}, "layers_to_transform"),
        ({"r": "2"}, "rank"),
        ({"r": 3}, "r = 3"),
        ({"lora_alpha": -1}, "alpha"),
        ({"lora_dropout": 1.5}, "dropout"),
    ],
)
def test_what_is_not_supported_is_refused_with_a_reason(fields, named, tmp_path):
    # Mutation: reading the known fields and ignoring all others.
    folder = _save(tmp_path, _random(SMALL, TWO), TWO, SMALL)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    with pytest.raises(ValueError, match=named) as raised:
        peft_adapter.load(folder, SMALL)
    assert str(folder) in str(raised.value)


def test_what_is_left_out_is_what_peft_takes(tmp_path):
    # Mutation: alpha's default 16 instead of 8.
    folder = _save(tmp_path, _random(SMALL, replace(TWO, rank=8)), replace(TWO, rank=8), SMALL)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "target_modules": ["q_proj", "v_proj"]})
    )
    lora, theirs = peft_adapter.load(folder, SMALL)[0], peft.PeftConfig.from_pretrained(str(folder))
    assert (lora.rank, lora.alpha, lora.dropout) == (theirs.r, theirs.lora_alpha, theirs.lora_dropout)
    assert lora.rslora == theirs.use_rslora


def test_another_base_is_told(tmp_path):
    folder = _save(tmp_path, _random(SMALL, TWO), TWO, SMALL)
    with pytest.raises(ValueError, match="another base"):
        peft_adapter.load(folder, replace(SMALL, hidden_size=16))
    with pytest.raises(ValueError, match=r"layers\.2"):
        peft_adapter.load(folder, replace(SMALL, num_hidden_layers=3))
    with pytest.raises(ValueError, match=r"layers\.1"):
        peft_adapter.load(folder, replace(SMALL, num_hidden_layers=1))


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"adapter_config\.json"):
        peft_adapter.load(UPath(tmp_path), SMALL)
    folder = _save(tmp_path, _random(SMALL, TWO), TWO, SMALL)
    weights = folder / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="cut off"):
        peft_adapter.load(folder, SMALL)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.safetensors"):
        peft_adapter.load(folder, SMALL)
    (folder / "adapter_model.bin").touch()
    with pytest.raises(FileNotFoundError, match="pickle"):
        peft_adapter.load(folder, SMALL)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match="line 1"):
        peft_adapter.load(folder, SMALL)
