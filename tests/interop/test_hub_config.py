import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from upath import UPath

from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.shape_settings import RopeScaling, Shape

SMALL = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def _read(folder, **fields) -> Shape:
    (folder / "config.json").write_text(json.dumps(SMALL | fields))
    return hub_config.read_shape(UPath(folder))


ROPES = st.one_of(
    st.none(),
    st.builds(
        lambda factor: RopeScaling(rope_type="linear", factor=factor),
        st.floats(1, 16),
    ),
    st.builds(lambda factor: RopeScaling(rope_type="dynamic", factor=factor), st.floats(1, 16)),
    st.builds(lambda factor: RopeScaling(rope_type="llama3", **(LLAMA3 | {"factor": factor})), st.floats(1, 16)),
)
SHAPES = st.builds(
    lambda heads, groups, size, **rest: Shape(
        hidden_size=heads * size, num_attention_heads=heads, num_key_value_heads=heads // groups, head_dim=size, **rest
    ),
    heads=st.sampled_from([4, 8]),
    groups=st.sampled_from([1, 2, 4]),
    size=st.sampled_from([4, 6]),
    vocab_size=st.integers(1, 999),
    intermediate_size=st.integers(1, 99),
    num_hidden_layers=st.integers(1, 9),
    max_position_embeddings=st.integers(128, 4096),
    rms_norm_eps=st.sampled_from([1e-5, 1e-6]),
    rope_theta=st.floats(1e3, 1e6),
    rope_scaling=ROPES,
    tie_word_embeddings=st.booleans(),
    attention_bias=st.booleans(),
    mlp_bias=st.booleans(),
)


@settings(max_examples=40)
@given(SHAPES)
def test_a_written_config_is_read_back_and_transformers_agrees(tmp_path_factory, shape):
    # Mutation: writing rope_scaling without rope_theta; reading rms_norm_eps with Shape's default.
    folder = tmp_path_factory.mktemp("config")
    hub_config.write_config(UPath(folder), shape, bos=0, eos=[1, 2], dtype="bfloat16")
    assert hub_config.read_shape(UPath(folder)) == shape

    theirs = LlamaConfig.from_pretrained(folder)
    for name in ("vocab_size", "hidden_size", "num_key_value_heads", "head_dim", "rms_norm_eps", "mlp_bias"):
        assert getattr(theirs, name) == getattr(shape, name)
    assert str(theirs.dtype).removeprefix("torch.") == "bfloat16"
    rope = theirs.rope_parameters
    assert rope["rope_theta"] == shape.rope_theta
    assert rope["rope_type"] == (shape.rope_scaling.rope_type if shape.rope_scaling else "default")
    assert rope.get("factor") == (shape.rope_scaling.factor if shape.rope_scaling else None)

    theirs.save_pretrained(folder / "again")
    assert hub_config.read_shape(UPath(folder / "again")) == shape


def test_what_is_left_out_is_what_transformers_takes(tmp_path):
    # Mutation: rms_norm_eps falls back to Shape's 1e-5; LLaMA 1 files without it would compute something else.
    shape = _read(tmp_path)
    theirs = LlamaConfig()
    assert shape.rms_norm_eps == theirs.rms_norm_eps == 1e-6
    assert shape.max_position_embeddings == theirs.max_position_embeddings
    assert shape.rope_theta == 10000.0
    assert shape.rope_scaling is None
    assert (shape.key_value_heads, shape.head_size) == (4, 8)
    assert not shape.tie_word_embeddings


@pytest.mark.parametrize(
    "form",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **LLAMA3}},
        {"rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "type": "llama3", **LLAMA3}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
        {"rope_parameters": {"rope_type": "llama3", **LLAMA3}, "rope_theta": 5e5},
    ],
)
def test_old_and_new_rope_settings_are_the_same(form, tmp_path):
    # maxtext#1839, levanter#649. Mutation: reading only rope_scaling; ignoring "type".
    shape = _read(tmp_path, **form)
    assert shape.rope_theta == 500000.0
    assert shape.rope_scaling == RopeScaling(rope_type="llama3", **LLAMA3)


@pytest.mark.parametrize("form", [{"rope_scaling": None}, {"rope_scaling": {"rope_type": "default"}}])
def test_no_scaling(form, tmp_path):
    assert _read(tmp_path, rope_theta=2e4, **form).rope_scaling is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, "mistral"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"sliding_window": 1024}, "sliding_window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"attention_dropout": 0.1}, "attention_dropout"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"logit_scale": 0.5}, "logit_scale"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope_type"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "beta_fast": 32}}, "beta_fast"),
        ({"rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"rope_scaling": {"factor": 2.0}}, "rope_type"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, "rope_theta"),
        ({"vocab_size": None}, "vocab_size"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
        ({"is_causal": False}, "is_causal"),
        ({"use_qk_norm_of_mine": False}, "use_qk_norm_of_mine"),
        ({"rope_theta": [1]}, "rope_theta"),
        ({"rope_theta": True}, "rope_theta"),
        ({"rope_scaling": {"type": ["linear"], "factor": 2.0}}, "rope_type"),
        ({"rope_scaling": {"rope_type": {"a": 1}, "factor": 2.0}}, "rope_type"),
        ({"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0]}}, "longrope"),
        (
            {"rope_scaling": LLAMA3 | {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 5.0}},
            "low_freq_factor 5.0",
        ),
        ({"rope_scaling": LLAMA3 | {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 0}}, "low_freq_factor"),
        ({"architectures": 5}, "architectures"),
        ({"layer_types": [["a"]]}, "layer_types"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(fields, named, tmp_path):
    # maxtext#1839, levanter#649, tunix's llama3.
    # Mutations: known fields only, all others ignored; an unknown false taken for harmless.
    with pytest.raises(ValueError, match=named) as raised:
        _read(tmp_path, **fields)
    assert str(tmp_path / "config.json") in str(raised.value)


def test_harmless_fields_do_no_harm(tmp_path):
    _read(
        tmp_path,
        pretraining_tp=2,
        torch_dtype="float16",
        use_cache=False,
        bos_token_id=1,
        eos_token_id=[1, 2],
        transformers_version="4.31.0",
        sliding_window=None,
        attention_dropout=0.0,
        layer_types=["full_attention"] * 3,
        max_sequence_length=2048,
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "", "{", "[]", "\xff\xfe", "null", '"llama"'])
def test_damaged_config(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"config\.json"):
        hub_config.read_shape(UPath(tmp_path))


def test_locate_a_folder(tmp_path):
    assert hub_config.locate(str(tmp_path), None) == UPath(tmp_path)
    with pytest.raises(ValueError, match="revision"):
        hub_config.locate(str(tmp_path), "main")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        hub_config.locate(str(tmp_path / "file"), None)


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "a/b/c", "memory://nothing/here", "../x/y"])
def test_locate_nothing(name):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        hub_config.locate(name, None)


def test_hub_errors_say_what_to_do(monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    asked = {}

    def fails(error):
        def download(name, **options):
            asked.update(options, name=name)
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        return hub_config.locate("owner/model", "v1")

    def http(kind):
        return kind("denied", response=SimpleNamespace(status_code=403, headers={}, request=None))

    with pytest.raises(PermissionError, match=r"gated.*HF_TOKEN"):
        fails(http(errors.GatedRepoError))
    with pytest.raises(FileNotFoundError, match="no such model on the hub"):
        fails(http(errors.RepositoryNotFoundError))
    with pytest.raises(FileNotFoundError, match=r"v1.*revision is not"):
        fails(http(errors.RevisionNotFoundError))
    with pytest.raises(FileNotFoundError, match="cannot be reached"):
        fails(errors.LocalEntryNotFoundError("no network"))
    with pytest.raises(FileNotFoundError, match="cannot be reached"):
        fails(errors.OfflineModeIsEnabled("offline"))
    assert asked["name"] == "owner/model"
    assert asked["revision"] == "v1"
    assert not any("bin" in pattern or "pth" in pattern for pattern in asked["allow_patterns"])


def test_a_base_is_looked_for_without_its_weights(monkeypatch):
    # Mutation: check_there with the files of the whole model: gigabytes come before a row is found to be missing.
    asked = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda _, **options: asked.update(options) or ".")
    hub_config.check_there("random", None)
    assert not asked
    hub_config.check_there("owner/model", "v1")
    assert asked["revision"] == "v1"
    assert "config.json" in asked["allow_patterns"]
    assert not [pattern for pattern in asked["allow_patterns"] if "safetensors" in pattern]


def test_offline_is_one_clear_line(tmp_path):
    code = "from bioinstruct_jax.interop import hub_config as h\ntry: h.locate('owner/model', None)\n"
    code += "except FileNotFoundError as error: print(error)"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "owner/model" in done.stdout
    assert "cannot be reached" in done.stdout


def test_reading_a_config_imports_no_framework(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    code = (
        "import sys; from upath import UPath; from bioinstruct_jax.interop import hub_config\n"
        f"hub_config.read_shape(UPath({str(tmp_path)!r}))\n"
        "assert not {'jax', 'torch', 'tensorflow', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
