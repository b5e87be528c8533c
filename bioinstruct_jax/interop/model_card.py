"""The README.md of an adapter or a tuned model: what it is, what it was made from, and what it is not for."""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from upath import UPath

from bioinstruct_jax.config import Lora, Train
from bioinstruct_jax.interop import vllm_check
from bioinstruct_jax.run_folder import Losses

_TEMPLATE = """\
The prompts must have the template of `prompt_template.json`; with another one, scores fall far. BOS, which begins a \
text, stands in it, so the tokenizer is not to add one."""
_ASK = """\
template = json.load(open("THIS_FOLDER/prompt_template.json"))["without_input"]
prompt = template.split("{output}")[0].replace("{instruction}", "Which drug class is metoprolol?")
tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")
tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
print(tokenizer.decode(model.generate(**tokens, max_new_tokens=64)[0]))"""
_LOAD = f"""\
```python
import json

from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER")
{_ASK}
```

{_TEMPLATE}"""

_RESTRICTED_TAG = "restricted-data"  # in the front matter, where what is made of a model finds it again
_MUST_NOT = """\
Weights can give back text that they were trained on. **Do not publish or share them, nor anything made of them, until \
the terms under which the data was obtained were checked and allow it.**"""

_QUANTIZED = {
    "int8": "int8, symmetric, a float32 scale for each output",
    "nf4": "nf4, a float32 scale for each 64 inputs (QLoRA, without its second quantisation)",
}
_ON_QUANTIZED = """\
**This adapter was trained on a base quantised to {0}** (kernels of the layers; embedding, head and norms were not). \
It has learned to make up for errors of that base as well: on the unquantised one, outputs and loss differ somewhat \
from those of the training, and whoever merges the two merges it into weights it was not trained on."""


def card(
    job: Train,
    *,
    base: dict[str, Any],
    data: dict[str, Any],
    losses: Losses,
    sha256: str,
    versions: dict[str, str],
) -> str:
    """Markdown with Hugging Face front matter.

    Args:
        base: ``weights``, ``revision`` and ``sha256`` of the base model, ``seed`` if it is random, ``quantize`` if it
            was quantised; ``start`` with ``adapter`` and ``sha256`` if the training went on from one.
        data: the run's data.json: ``sources``, ``restricted_before``, ``train``, ``template``, ``tokenizer``.
        losses: of the run.
        sha256: of the trained weights (`hub_weights.base_hash`).
        versions: of the packages that matter, by name.
    """
    random, lora = job.model.weights == "random", job.trainable == "lora"
    sections = [
        _front_matter(job, _of_restricted(data)),
        f"# {job.name}\n\n{_summary(job)}",
        *([f"## Trained on restricted data\n\n{_restricted(data)}"] if _of_restricted(data) else []),
        f"## Not for clinical use\n\n{_limits(random)}",
        f"## Data\n\n{_data(data)}",
        f"## Training\n\n{_training(job, losses, data)}",
        f"## How to use it\n\n{_usage(job)}",
        f"## Where it comes from\n\n{_provenance(base, data, sha256, versions, lora)}",
        "## Licence\n\nThe licence and use policy of the base model and the terms of each data source above apply to "
        "these weights. Check them before you share or use the model; this project grants no rights in either.",
    ]
    return "\n\n".join(sections) + "\n"


def merged_card(
    *,
    base: str,
    base_sha256: str,
    adapter: str,
    adapter_sha256: str,
    dtype: str,
    sha256: str,
    lora: Lora,
    gap: list[str],
    restricted: list[str],
) -> str:
    """The README.md of an adapter merged into its base.

    Args:
        base, adapter: their names, as the user or the adapter's config gives them.
        base_sha256, adapter_sha256, sha256: of the weights, the last of the merged ones (`hub_weights.base_hash`).
        gap: how far the merged model's logits are from those of base + adapter, in lines.
        restricted: which of base and adapter were trained on restricted data (`made_of_restricted`).
    """
    fields: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "base-model-and-data",
        "tags": [
            "bioinstruct-jax", "biomedical", "instruction-tuning", "merged-lora",
            *([_RESTRICTED_TAG] if restricted else []),
        ],
    }  # fmt: skip
    if hub_id(base):
        fields |= {"base_model": base, "base_model_relation": "finetune"}
    rows = [
        ("base", _shown(base)),
        ("sha256 of the base", f"`{base_sha256}`"),
        ("adapter", f"{_shown(adapter)}, rank {lora.rank}, alpha {lora.alpha:g}{', rsLoRA' if lora.rslora else ''}"),
        ("sha256 of the adapter", f"`{adapter_sha256}`"),
        ("merged in", f"float32, then cast to {dtype}"),
        ("sha256 of the model", f"`{sha256}`"),
    ]
    sections = [
        f"---\n{yaml.safe_dump(fields, sort_keys=False)}---",
        f"# {_shown(adapter)}, merged\n\nA LoRA adapter merged into `{_shown(base)}` with bioinstruct-jax.",
        *([f"## Trained on restricted data\n\n{_before(restricted)} {_MUST_NOT}"] if restricted else []),
        f"## Not for clinical use\n\n{_limits(False)}",
        f"## How to use it\n\n{_LOAD}",
        "## Where it comes from\n\n" + "\n".join(["| | |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)]),
        "## Compared with base + adapter\n\n" + "\n".join(f"- {line}" for line in gap),
        "## Licence\n\nThe licence and use policy of the base model and the terms of the data that the adapter was "
        "trained on apply to these weights. Check them before you share or use the model.",
    ]
    return "\n\n".join(sections) + "\n"


def made_of_restricted(folders: Mapping[str, UPath | None]) -> list[str]:
    """Which of these folders of adapters and models were trained on restricted data, by the cards in them.

    Args:
        folders: by the name to be returned; None, or one without a card of ours, says nothing.
    """
    found = []
    for name, folder in folders.items():
        card = folder / "README.md" if folder is not None else None
        if card is not None and card.exists():
            front = card.read_bytes().split(b"\n---", 1)[0].decode("utf-8", "replace")
            if front.startswith("---") and re.search(rf"^\s*- {_RESTRICTED_TAG}\s*$", front, re.MULTILINE):
                found.append(name)
    return found


def _of_restricted(data: dict[str, Any]) -> bool:
    return bool(data["restricted_before"]) or any(source["restricted"] for source in data["sources"])


def _restricted(data: dict[str, Any]) -> str:
    named = [f"{source['restricted']:,} rows of {_shown(source['path'])}" for source in data["sources"]
             if source["restricted"]]  # fmt: skip
    lines = [f"Restricted rows in the data: {', '.join(named)}."] if named else []
    if data["restricted_before"]:
        lines.append(_before(data["restricted_before"]))
    return " ".join([*lines, _MUST_NOT])


def _before(made: list[str]) -> str:
    return f"Trained on restricted data before, as its own card says: the {' and the '.join(made)}."


def _front_matter(job: Train, restricted: bool) -> str:
    lora = job.trainable == "lora"
    fields: dict[str, Any] = {
        "library_name": "peft" if lora else "transformers",
        "pipeline_tag": "text-generation",
        "language": ["en"],
        "license": "other",
        "license_name": "base-model-and-data",
        "tags": ["bioinstruct-jax", "biomedical", "instruction-tuning", "jax", *(["lora"] if lora else [])],
    }
    if restricted:
        fields["tags"].append(_RESTRICTED_TAG)
    if hub_id(job.model.weights):
        fields["base_model"] = job.model.weights
        fields["base_model_relation"] = "adapter" if lora else "finetune"
    datasets = [source.path for source in job.data.sources if hub_id(source.path)]
    if datasets:
        fields["datasets"] = datasets
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---"


def hub_id(name: str) -> bool:
    """Whether a name reads as owner/name; a path of this machine has no place on the hub."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) is not None and "." not in name.split("/")[0]


def _shown(name: str) -> str:
    """A name that may be shared: a hub id as it is, of a path the last part; safe inside a table."""
    short = name if hub_id(name) else name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"\s+", " ", short).replace("|", "\\|").replace("`", "'")


def _summary(job: Train) -> str:
    what = "LoRA adapter (PEFT form)" if job.trainable == "lora" else "fully fine-tuned model"
    where = "a LLaMA with random weights" if job.model.weights == "random" else f"`{_shown(job.model.weights)}`"
    return f"A {what} of {where}, instruction-tuned on biomedical text with bioinstruct-jax."


def _limits(random: bool) -> str:
    lines = [
        "This model was made for research in biomedical language processing. It can state false things with "
        "confidence, leave out what matters, and repeat biases and errors of its base and its data. It has not been "
        "evaluated for safety. Do not use it for diagnosis, treatment, dosing, triage or any decision about a person's "
        "health, and do not give it data of patients unless that is lawful where you are."
    ]
    if random:
        lines.append(
            "**Its base has random weights.** It shows that the training works and knows no medicine: what it writes "
            "means nothing."
        )
    return "\n\n".join(lines)


def _data(data: dict[str, Any]) -> str:
    lines = ["| source | format | records kept | rows unreadable |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {_shown(source['path'])} | {source['format']} | {source['kept']:,} | {source['bad']:,} |"
        for source in data["sources"]
    ]
    train, packing = data["train"], data["train"]["packing"]
    lines += ["", f"{train['examples']:,} examples in {packing['rows']:,} rows of {packing['length']:,} tokens; "]
    lines[-1] += f"{packing['tokens']:,} tokens, {packing['target_tokens']:,} of them with loss."
    return "\n".join(lines)


def _training(job: Train, losses: Losses, data: dict[str, Any]) -> str:
    optimizer, rows = job.optimizer, [("steps", f"{losses.steps:,}")]
    if job.trainable == "lora":
        kind = ", rsLoRA" if job.lora.rslora else ""
        rows.append(("LoRA", f"rank {job.lora.rank}, alpha {job.lora.alpha:g}, dropout {job.lora.dropout:g}{kind}"))
        rows.append(("on", ", ".join(job.lora.targets)))
    rows += [
        ("rows a step", f"{job.training.batch_rows} of {job.data.length} tokens"),
        (
            "learning rate",
            f"{optimizer.learning_rate:g}, {optimizer.schedule}, {optimizer.warmup(losses.steps)} steps warm-up",
        ),
        ("optimizer", f"AdamW, b1 {optimizer.b1:g}, b2 {optimizer.b2:g}, weight decay {optimizer.weight_decay:g}"),
        ("prompt template", data["template"]["name"]),
        ("base and products in", job.model.dtype),
        *([("kernels of the base in", _QUANTIZED[job.model.quantize])] if job.model.quantize != "none" else []),
        ("loss of the last step", f"{losses.last:.4f} nats per target token"),
    ]
    if losses.held_out_last is not None and losses.held_out_first is not None:
        rows.append(("held-out loss", f"{losses.held_out_first:.4f} before, {losses.held_out_last:.4f} after"))
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
    return table if job.model.quantize == "none" else f"{table}\n\n{_ON_QUANTIZED.format(job.model.quantize)}"


def _usage(job: Train) -> str:
    if job.trainable != "lora":
        return _LOAD
    base = job.model.weights if hub_id(job.model.weights) else "BASE_FOLDER"
    code = (
        "import json\n\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
        'model = PeftModel.from_pretrained(base, "THIS_FOLDER")\n' + _ASK
    )
    return f"```python\n{code}\n```\n\n{_TEMPLATE}{_vllm(job.lora.rank)}"


def _vllm(rank: int) -> str:
    if rank <= vllm_check.MAX_LORA_RANK:
        return ""
    enough = vllm_check.enough_for(rank)
    if enough is None:
        return (
            f"\n\nvLLM takes adapters up to rank {max(vllm_check.RANKS)}; this one has {rank}: merge it into its base."
        )
    return f"\n\nvLLM refuses rank {rank} unless it is started with `--enable-lora --max-lora-rank {enough}`."


def _provenance(base: dict[str, Any], data: dict[str, Any], sha256: str, versions: dict[str, str], lora: bool) -> str:
    name = _shown(base["weights"]) + (f", revision {base['revision']}" if base.get("revision") else "")
    if base.get("seed") is not None:
        name += f", seed {base['seed']}"
    in_codes = f", its kernels in {base['quantize']}" if base.get("quantize") else ""
    rows = [
        ("base", name),
        (f"sha256 of the base{in_codes}", f"`{base['sha256']}`"),
        *_started_from(base.get("start")),
        (f"sha256 of the {'adapter' if lora else 'model'}", f"`{sha256}`"),
        ("sha256 of the prompt template", f"`{data['template']['hash']}`"),
        ("fingerprint of the tokenizer", f"`{data['tokenizer']['fingerprint']}`"),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _started_from(start: dict[str, str] | None) -> list[tuple[str, str]]:
    return [("started from", f"{_shown(start['adapter'])}, sha256 `{start['sha256']}`")] if start else []
