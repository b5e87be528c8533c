"""The adapter that training goes on from (``lora.start``): found, compared with the job, and put on the mesh."""

import shlex

import jax

from bioinstruct_jax import files
from bioinstruct_jax.config import PROJECTIONS, Lora, Shape, Train
from bioinstruct_jax.data.prompts import Template
from bioinstruct_jax.interop import hub_config, locate, peft_adapter
from bioinstruct_jax.interop.model_card import hub_id
from bioinstruct_jax.interop.peft_adapter import PROMPT, Adapter


def resolve(job: Train, shape: Shape, template: Template) -> Adapter | None:
    """The adapter of ``lora.start``, checked against the job; reads no numbers. None: the job starts anew.

    Args:
        shape: of the base, with its vocabulary size.
        template: the job's.

    Raises:
        FileNotFoundError, PermissionError: it is not there, or may not be read.
        ValueError: it is damaged or of a kind not supported, or its settings, base or prompt template are not the
            job's; names both and says what to set.
    """
    if job.lora.start is None:
        return None
    folder = locate.adapter(job.lora.start, setting="lora.start")
    adapter = peft_adapter.find(folder, shape)
    _check_base(job, adapter)
    _check_lora(job.lora, adapter)
    _check_template(adapter, template)
    return adapter


def _check_base(job: Train, adapter: Adapter) -> None:
    recorded, weights = adapter.fields.get("base_model_name_or_path"), job.model.weights
    if weights == "random":
        raise ValueError(
            f"lora.start {adapter.folder}: an adapter is worth nothing on another base, and model.weights 'random' "
            f"makes a new one; give the base it was trained on, which it records as {recorded!r}: "
            f"--model.weights={recorded or 'FOLDER'}"
        )
    if not isinstance(recorded, str) or not all(hub_id(name) for name in (recorded, weights)):
        return  # a path says nothing of the model that lies there
    if recorded.lower() != weights.lower() and not files.path(weights).is_dir():
        raise ValueError(
            f"lora.start {adapter.folder} was trained on {recorded}, but model.weights is {weights}: set "
            f"--model.weights={recorded}, or, if both are the same model, write {weights} as base_model_name_or_path "
            "into a copy of its adapter_config.json"
        )


def _check_lora(wanted: Lora, adapter: Adapter) -> None:
    mine, its = _settings(wanted), _settings(adapter.lora)
    differ = [name for name in mine if mine[name] != its[name]]
    if differ:
        values = "; ".join(f"lora.{name} is {mine[name]}, the adapter's {its[name]}" for name in differ)
        options = " ".join(f"--lora.{name}={shlex.quote(its[name])}" for name in differ)
        raise ValueError(f"lora.start {adapter.folder} has other settings: {values}. Set {options}")


def _settings(lora: Lora) -> dict[str, str]:
    """What job and adapter must agree on, as it is written on the command line; dropout is the job's choice."""
    return {
        "rank": str(lora.rank),
        "alpha": repr(float(lora.alpha)),
        "rslora": str(lora.rslora).lower(),
        "targets": f"[{', '.join(name for name in PROJECTIONS if name in lora.targets)}]",
    }


def _check_template(adapter: Adapter, template: Template) -> None:
    file = adapter.folder / PROMPT
    record = hub_config.read_json(file) if file.exists() else {}
    name, digest = record.get("name"), record.get("hash")
    if digest is None or digest == template.hash:
        return
    what = f"lora.start {adapter.folder} was trained with the prompt template {name!r} (sha256 {digest})"
    mine = f"this job has {template.name!r} ({template.hash})"
    if name == template.name:
        raise ValueError(
            f"{what}, {mine}: the same name, but the tokenizer's tokens or its chat template differ; take the "
            f"tokenizer of the adapter, --tokenizer.path={adapter.folder}, or remove {file.name} from a copy of it"
        )
    raise ValueError(
        f"{what}, {mine}: set --data.template={name}; to change the template on purpose, remove {file.name} from a "
        "copy of the adapter"
    )


def place(adapter: Adapter, abstract: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """An adapter's weights by path, in the types and shardings of `abstract`; the host holds one stacked weight.

    Raises:
        ValueError: naming file and tensor, if the file ends early or a number is NaN or infinite.
    """
    placed: dict[str, jax.Array] = {}
    for path, like in abstract.items():
        whole = peft_adapter.read(adapter, path).astype(like.dtype)
        placed[path] = jax.make_array_from_callback(like.shape, like.sharding, whole.__getitem__)
    return placed
