from dataclasses import replace

import pytest
import yaml
from upath import UPath

from bioinstruct_jax.config import Data, Lora, Model, Optimizer, Shape, Source, Tokenizer, Train, Training
from bioinstruct_jax.interop.model_card import card, made_of_restricted, merged_card
from bioinstruct_jax.run_folder import Losses

SHAPE = Shape(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
JOB = Train(
    name="first",
    model=Model(weights="meta-llama/Llama-2-7b-hf", revision="abc"),
    lora=Lora(rank=16, alpha=32.0),
    data=Data(sources=(Source(path="bio-nlp-umass/bioinstruct"), Source(path="/home/someone/secret|notes.jsonl"))),
    optimizer=Optimizer(warmup_steps=7),
    training=Training(steps=10),
)
BASE = {"weights": JOB.model.weights, "revision": "abc", "seed": None, "sha256": "b" * 64}
DATA = {
    "sources": [
        {"path": "bio-nlp-umass/bioinstruct", "format": "hub", "kept": 25005, "restricted": 0, "bad": 0},
        {"path": "/home/someone/secret|notes.jsonl", "format": "alpaca", "kept": 12, "restricted": 0, "bad": 3},
    ],
    "restricted_before": [],
    "tokenizer": {"name": "x", "size": 10, "fingerprint": "f" * 64},
    "template": {"name": "alpaca", "hash": "e" * 64},
    "train": {
        "examples": 25017,
        "packing": {"rows": 1500, "length": 2048, "tokens": 3000000, "target_tokens": 1000000},
    },
}
LOSSES = Losses(steps=10, first=2.75, last=1.25, held_out_first=2.5, held_out_last=1.5)


def _card(job: Train = JOB, **changes) -> str:
    facts = {"base": BASE, "data": DATA, "losses": LOSSES, "sha256": "a" * 64, "versions": {"jax": "1", "flax": "2"}}
    return card(job, **(facts | changes))


def _front(text: str) -> dict:
    opening, front, _ = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(front)


def test_front_matter_and_facts():
    text = _card()
    front = _front(text)
    assert front["library_name"] == "peft"
    assert front["base_model"] == "meta-llama/Llama-2-7b-hf"
    assert front["base_model_relation"] == "adapter"
    assert front["datasets"] == ["bio-nlp-umass/bioinstruct"]
    assert {"license", "license_name", "tags"} <= front.keys()
    for fact in ("a" * 64, "b" * 64, "e" * 64, "f" * 64, "25,005", "1.2500", "2.5000 before, 1.5000 after", "jax 1"):
        assert fact in text
    assert "Not for clinical use" in text
    assert "random weights" not in text


def test_the_adapter_that_training_went_on_from():
    # EasyDeL#259. Mutation: the path as it is.
    assert "started from" not in _card()
    text = _card(base=BASE | {"start": {"adapter": "/home/someone/first|adapter", "sha256": "c" * 64}})
    assert f"| started from | first\\|adapter, sha256 `{'c' * 64}` |" in text
    assert "/home" not in text


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_a_quantised_base_is_named(quantize):
    # Mutation: the sentence left out, or of another type.
    assert "quantised" not in _card()
    text = _card(replace(JOB, model=replace(JOB.model, quantize=quantize)), base=BASE | {"quantize": quantize})
    assert f"**This adapter was trained on a base quantised to {quantize}**" in text
    assert f"| kernels of the base in | {quantize}, " in text
    assert f"| sha256 of the base, its kernels in {quantize} | `{'b' * 64}` |" in text


def test_a_card_holds_no_path_of_the_machine():
    # Mutation: writing source["path"] as it is. A bar would also break the table.
    text = _card()
    assert "/home" not in text
    assert "secret\\|notes.jsonl" in text
    local = replace(JOB, model=Model(weights="/home/someone/llama"))
    text = _card(local, base=BASE | {"weights": "/home/someone/llama"})
    assert "/home" not in text
    assert "base_model" not in _front(text)


@pytest.mark.parametrize("path", ["./data/notes.jsonl", "data.d/notes.jsonl", "gs://bucket/rows", "seeds", "../x/y"])
def test_only_hub_names_are_datasets(path):
    job = replace(JOB, data=replace(JOB.data, sources=(Source(path=path),)))
    assert "datasets" not in _front(_card(job))


def test_a_random_base_says_so():
    job = replace(JOB, model=Model(weights="random", shape=SHAPE), tokenizer=Tokenizer(path="tiny"))
    text = _card(job, base=BASE | {"weights": "random", "revision": None, "seed": 3})
    assert "Its base has random weights" in text
    assert "seed 3" in text
    assert "base_model" not in _front(text)


def test_a_fully_tuned_model():
    text = _card(
        replace(JOB, trainable="all"),
        losses=Losses(steps=1, first=2.0, last=2.0, held_out_first=None, held_out_last=None),
    )
    assert _front(text)["library_name"] == "transformers"
    assert "PeftModel" not in text
    assert "| LoRA |" not in text
    assert "held-out" not in text


@pytest.mark.parametrize(
    ("rank", "advice"),
    [(8, None), (16, None), (17, "--max-lora-rank 32"), (64, "--max-lora-rank 64"), (600, "merge it")],
)
def test_vllm_advice_for_high_ranks(rank, advice):
    # vllm#9280. Mutation: advice from rank 16 on.
    text = _card(replace(JOB, lora=Lora(rank=rank)))
    assert ("vLLM" in text) == (advice is not None)
    assert advice is None or advice in text


def test_a_model_trained_on_restricted_rows_is_marked_and_so_is_what_is_made_of_it(tmp_path):
    # Mutations: the tag left out of either card; a README without front matter, or with the tag in its text alone.
    assert "restricted" not in _card()
    sources = [DATA["sources"][0] | {"restricted": 1234}, DATA["sources"][1]]
    marked = _card(data=DATA | {"sources": sources})
    assert "Restricted rows in the data: 1,234 rows of bio-nlp-umass/bioinstruct." in marked
    assert "Do not publish" in marked
    assert "restricted-data" in _front(marked)["tags"]
    inherited = _card(data=DATA | {"restricted_before": ["base", "adapter"]})
    assert "as its own card says: the base and the adapter." in inherited
    assert "restricted-data" in _front(inherited)["tags"]
    merged = [
        merged_card(
            base="x", base_sha256="b", adapter="y", adapter_sha256="a", dtype="float32", sha256="c", lora=JOB.lora,
            gap=[], restricted=made,
        )
        for made in ([], ["adapter"])
    ]  # fmt: skip
    assert "restricted" not in merged[0]
    assert "Do not publish" in merged[1]
    texts = [
        marked,
        inherited,
        merged[1],
        _card(),
        merged[0],
        "no front matter\n- restricted-data\n---\n",
        "---\n---\n",
    ]
    folders = {f"number_{place}": UPath(tmp_path / str(place)) for place in range(len(texts))}
    for folder, text in zip(folders.values(), texts, strict=True):
        folder.mkdir()
        (folder / "README.md").write_text(text, encoding="utf-8")
    crlf = marked.replace("\n", "\r\n")
    (folders["number_0"] / "README.md").write_bytes(crlf.encode())
    found = made_of_restricted(folders | {"none": None, "empty": UPath(tmp_path / "nowhere")})
    assert found == ["number_0", "number_1", "number_2"]
