import json

import numpy as np
import peft
import pytest
import torch

from bioinstruct_jax.config import Shape
from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.evaluation.language_model import CompletionRequest
from bioinstruct_jax.inference import load as loading
from bioinstruct_jax.inference.load import load
from tests.interop.llama_pairs import FAMILIES, reference


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A base with a tokenizer, and an adapter that peft made for it."""
    base, adapter = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    tiny = tokenizer.load("tiny")
    settings = FAMILIES["llama2_gqa"] | {"vocab_size": len(tiny), "max_position_embeddings": 64, "eos_token_id": [1, 7]}
    model = reference(0, **settings)
    model.save_pretrained(base)
    tiny.save_pretrained(base)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    torch.manual_seed(1)
    for key, parameter in tuned.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, 0, 0.3)
    tuned.save_pretrained(adapter)
    return base, adapter, tuned.eval()


def test_a_base_with_its_adapter_writes_what_peft_writes(folders):
    # Mutations: the adapter's arrays left zero; the base taken from elsewhere than the adapter names.
    base, adapter, tuned = folders
    record = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(base)}
    (adapter / "adapter_config.json").write_text(json.dumps(record))
    ids = tokenizer.load("tiny")("Aspirin is a", add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        theirs = tuned.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=[1, 7],
        )
    wanted = tokenizer.load("tiny").decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)
    for model in (None, str(base)):
        made = load(model, str(adapter), bos=False)
        (found,) = made.language_model.complete([CompletionRequest("Aspirin is a", max_tokens=20)])
        assert found.text == wanted
    (plain,) = load(str(base), bos=False).language_model.complete([CompletionRequest("Aspirin is a", max_tokens=20)])
    assert plain.text != wanted


def test_what_ends_an_answer_and_how_long_it_may_be_is_the_models(folders):
    made = load(str(folders[0])).language_model
    assert made.ends == {1, 7}
    assert made.context == 64
    assert load(str(folders[0]), context=32).language_model.context == 32
    assert not made.bos


def test_bfloat16(folders):
    made = load(str(folders[0]), str(folders[1]), dtype="bfloat16")
    assert made.language_model.engine.weights is not None
    assert made.language_model.complete([CompletionRequest("Aspirin", max_tokens=3)])[0]


def test_what_is_missing_is_said(folders, tmp_path):
    with pytest.raises(ValueError, match="give --model=FOLDER, --adapter=FOLDER, or both"):
        load(None)
    with pytest.raises(FileNotFoundError, match="--model"):
        load(str(tmp_path / "nothing"))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folders[0] / name).read_bytes())
    with pytest.raises(ValueError, match="no tokenizer there"):
        load(str(tmp_path))


@pytest.mark.parametrize(("heads", "tensor"), [(8, 8), (4, 4), (3, 1), (6, 2)])
def test_a_model_is_divided_as_far_as_its_heads_allow(heads, tensor):
    # Mutation: all devices along tensor, which 3 heads cannot be divided over.
    shape = Shape(
        vocab_size=96, hidden_size=48, intermediate_size=96, num_hidden_layers=1, num_attention_heads=heads, head_dim=8
    )
    mesh = loading.serving_mesh(shape)
    assert (mesh.shape["tensor"], mesh.shape["data"]) == (tensor, 8 // tensor)


def test_results_are_the_same_on_one_device_and_on_eight(folders, monkeypatch):
    asked = [CompletionRequest(text, max_tokens=12) for text in ("Aspirin", "The heart is", "a b c d e f")]
    eight = load(str(folders[0]), str(folders[1]))
    assert eight.language_model.engine.mesh.size == 8
    one = load(str(folders[0]), str(folders[1]), slots=1)
    monkeypatch.setattr(loading.jax, "devices", lambda: np.array(loading.jax.local_devices())[:1].tolist())
    single = load(str(folders[0]), str(folders[1]))
    assert single.language_model.engine.mesh.size == 1
    results = [made.language_model.complete(asked) for made in (eight, one, single)]
    assert results[0] == results[1] == results[2]
