"""adapter_config.json against peft itself: which module is targeted, with which rank, alpha and scale."""

import json
import math

import peft
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from upath import UPath

from bioinstruct_jax.config import PROJECTIONS, Shape
from bioinstruct_jax.interop import peft_config
from bioinstruct_jax.model.lora import scale

SHAPE = Shape(vocab_size=9, hidden_size=8, intermediate_size=6, num_hidden_layers=12, num_attention_heads=2)
MODULES = peft_config.modules(SHAPE)
FILE = UPath("somewhere/adapter_config.json")

KEYS = st.sampled_from(
    [
        *PROJECTIONS,
        "self_attn.q_proj",
        "proj",
        "_proj",
        "q_proj|down_proj",
        "(q|k)_proj",
        r"layers\.1\..*",
        r"layers\.1\.mlp\.up_proj",
        "layers.1.self_attn.v_proj",
        r"model\.layers\.\d\.mlp\.\w+",
        "^model.layers.11.self_attn.o_proj",
        ".*",
        "nothing",
        "model.layers.3.mlp.gate_proj",
    ]
)


@settings(max_examples=100)
@given(
    rank_pattern=st.dictionaries(KEYS, st.integers(1, 9), max_size=4),
    alpha_pattern=st.dictionaries(KEYS, st.integers(1, 9) | st.floats(0.25, 9), max_size=4),
)
def test_rank_and_alpha_are_those_of_peft(rank_pattern, alpha_pattern):
    # Mutations: the last matching key instead of the first; `key in module`; a key need not begin at a dot.
    fields = {"r": 3, "lora_alpha": 5, "rank_pattern": rank_pattern, "alpha_pattern": alpha_pattern}
    for module in MODULES:
        rank = rank_pattern.get(get_pattern_key(rank_pattern, module), 3)
        alpha = alpha_pattern.get(get_pattern_key(alpha_pattern, module), 5)
        assert peft_config.own(FILE, fields, module) == (rank, alpha)


TARGETS = [
    ["q_proj", "down_proj"],
    ["proj"],
    ["model.layers.1.mlp.up_proj", "k_proj"],
    ["layers.3.mlp.up_proj"],
    r".*\.(q|v)_proj",
    r"model\.layers\.1\d\..*",
]


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("exclude", [None, ["v_proj", "layers.1.self_attn.k_proj"], r".*\.1\..*"])
@pytest.mark.parametrize(
    ("layers", "pattern"), [(None, None), ([], None), (1, None), ([0, 11], "layers"), ([3], ["blocks", "layers"])]
)
def test_the_targets_are_those_of_peft(targets, exclude, layers, pattern):
    # Mutation: a module named in full bound to layers_to_transform, which peft does not ask then.
    if isinstance(targets, str) and layers is not None:
        return  # peft makes no such config
    config = peft.LoraConfig(target_modules=targets, exclude_modules=exclude)
    config.layers_to_transform, config.layers_pattern = layers, pattern
    fields = {
        "target_modules": targets,
        "exclude_modules": exclude,
        "layers_to_transform": layers,
        "layers_pattern": pattern,
    }
    for module in MODULES:
        expected = bool(check_target_module_exists(config, module))
        assert peft_config.targeted(FILE, fields, module) == expected, module


OWN = st.builds(peft_config.Own, st.integers(1, 64), st.sampled_from([0.5, 1.0, 3.0, 8.0, 16.0, 100.0]))


@given(owns=st.lists(OWN, min_size=1, max_size=9), rslora=st.booleans())
def test_the_common_lora_keeps_every_scale_and_folds_least(owns, rslora):
    # Mutations: the common scale taken from the largest rank; alpha not brought to the new rank; alpha / r for rsLoRA.
    by_module = dict(zip(MODULES, owns, strict=False))
    lora, factors = peft_config.common(FILE, {"use_rslora": rslora}, by_module)
    assert lora.rank == max(one.rank for one in owns)
    scales = {m: one.alpha / (one.rank**0.5 if rslora else one.rank) for m, one in by_module.items()}
    for module, own in scales.items():
        assert math.isclose(factors[module] * scale(lora), own, rel_tol=1e-12)
    kept = sum(factor == 1 for factor in factors.values())
    exact = [peft_config.exact_scale(one, rslora) for one in owns]
    assert kept == max(exact.count(value) for value in exact)


@pytest.mark.parametrize("alpha", [1.0, 7.3, 1e-5])
def test_without_patterns_nothing_changes(alpha):
    lora, factors = peft_config.common(FILE, {}, dict.fromkeys(MODULES, peft_config.Own(7, alpha)))
    assert (lora.rank, lora.alpha, set(factors.values())) == (7, alpha, {1.0})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank_pattern": {"q_proj": 0}}, r"rank_pattern\['q_proj'\] = 0"),
        ({"rank_pattern": {"q_proj": "8"}}, r"rank_pattern\['q_proj'\] = '8'"),
        ({"rank_pattern": {"q_proj": True}}, r"rank_pattern\['q_proj'\] = True"),
        ({"alpha_pattern": {"q_proj": 0}}, r"alpha_pattern\['q_proj'\] = 0"),
        ({"alpha_pattern": {"q_proj": math.inf}}, r"alpha_pattern\['q_proj'\] = inf"),
        ({"alpha_pattern": {"([": 2}}, "no regular expression"),
        ({"r": 0}, "r = 0"),
        ({"lora_alpha": None}, "lora_alpha = None"),
    ],
)
def test_ranks_and_alphas_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message) as raised:
        peft_config.own(FILE, fields, "model.layers.0.self_attn.q_proj")
    assert str(FILE) in str(raised.value)


@pytest.mark.parametrize("fields", [{"rank_pattern": ["q_proj"]}, {"alpha_pattern": 3}, {"target_modules": [1]}])
def test_fields_of_another_form(fields, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=next(iter(fields))):
        peft_config.read(UPath(tmp_path))


def test_every_field_of_peft_at_its_default_is_fine():
    # A field that peft adds is then refused by name, not misread. Mutation: an unknown field ignored.
    plain = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]).to_dict()
    assert peft_config.unsupported(json.loads(json.dumps(plain, default=list))) == {}
    assert set(peft_config.unsupported(plain | {"from_the_future": {"x": 1}, "use_dora": True})) == {
        "from_the_future",
        "use_dora",
    }
