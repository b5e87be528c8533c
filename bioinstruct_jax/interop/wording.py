"""What of an adapter or a model has to do with text: tokenizer, prompt template, the tokens that end an answer."""

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from transformers import PreTrainedTokenizerFast
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data import prompts, tokenizer
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.hub_config import TOKENIZER_FILES
from bioinstruct_jax.interop.peft_adapter import PROMPT


@dataclass(frozen=True)
class Words:
    """What of an adapter or its base has to do with text.

    Attributes:
        folder: of the tokenizer's files, None if neither has one.
        tokenizer: loaded from there.
        record: the adapter's prompt_template.json as it stands there, None without.
        template: the one that `record` names, or alpaca; None without a tokenizer.
    """

    folder: UPath | None
    tokenizer: PreTrainedTokenizerFast | None
    record: str | None
    template: prompts.Template | None


def read(adapter: UPath, base: UPath) -> Words:
    """The tokenizer, the adapter's own or else the base's, and the prompt template of an adapter.

    Raises:
        ValueError: a damaged file, or a template that this tokenizer cannot write.
    """
    file = adapter / PROMPT
    record = files.read_text(file) if file.exists() else None
    fields = hub_config.read_json(file) if record is not None else {"name": "alpaca"}
    folder = next((folder for folder in (adapter, base) if _tokenizer_files(folder)), None)
    if folder is None:
        return Words(None, None, record, None)
    loaded = tokenizer.load(str(folder))
    try:
        return Words(folder, loaded, record, prompts.template(str(fields.get("name")), loaded))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _tokenizer_files(folder: UPath) -> list[UPath]:
    """The tokenizer's files in a folder; none unless there is one to load."""
    found = [file for file in folder.iterdir() if any(fnmatch(file.name, pattern) for pattern in TOKENIZER_FILES)]
    return sorted(found) if any(file.name in ("tokenizer.json", "tokenizer.model") for file in found) else []


def notes(words: Words, rows: int) -> list[str]:
    """What a user should know of the words of a model whose embedding has so many rows, a line each."""
    lines = []
    if words.tokenizer is None:
        lines.append("neither adapter nor base has a tokenizer: none is written, and random tokens are compared")
    elif len(words.tokenizer) > rows:
        lines.append(f"the tokenizer has {len(words.tokenizer)} ids, the model only {rows} rows for them")
    if words.record is None:
        lines.append(f"the adapter has no {PROMPT}: the template it was trained with is not known")
    elif words.template and json.loads(words.record).get("hash") != words.template.hash:
        lines.append(f"the hash in {PROMPT} is not that of this template with this tokenizer: prompts may differ")
    return lines


def write(out: UPath, words: Words) -> None:
    """The tokenizer's files and prompt_template.json, as they stand where they come from."""
    for file in _tokenizer_files(words.folder) if words.folder else []:
        (out / file.name).write_bytes(file.read_bytes())
    if words.record is not None:
        files.write_text(out / PROMPT, words.record)


def generation(words: Words, base: UPath) -> dict[str, Any]:
    """The base's generation settings; answers also stop at the token that the template ends them with.

    Without a template it is the tokenizer's EOS token.
    """
    if words.tokenizer is None or words.template is None:
        return hub_config.generation(base, bos=None, end=None)
    end = tokenizer.token_id(words.template.end, words.tokenizer)
    return hub_config.generation(base, bos=words.tokenizer.bos_token_id, end=end)
