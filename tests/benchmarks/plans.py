"""Plans of well-known bases on slices of every kind, recorded with the versions that made them.

    python -m tests.benchmarks.plans [--only PART] [--table]

Resumable: a row that the file has for these versions of jax and libtpu is not made again. LLaMA 1 and Llama 2 have the
same shapes, so that one row serves both. The table goes into docs/plan.md, between its marks.
"""

import argparse
import importlib.metadata
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bioinstruct_jax import settings
from bioinstruct_jax.config import Model, Shape, Train, Training
from bioinstruct_jax.plan import Options
from bioinstruct_jax.planning import inputs, row, search, slices, table
from bioinstruct_jax.usage import Verb

RECORD = Path(__file__).parent / "plans.json"
GUIDE = Path(__file__).parents[2] / "docs" / "plan.md"
_MARKS = ("<!-- plans -->\n", "<!-- /plans -->")
LLAMA2_70B = Shape(  # config.json of meta-llama/Llama-2-70b-hf
    vocab_size=32000,
    hidden_size=8192,
    intermediate_size=28672,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
    max_position_embeddings=4096,
)


@dataclass(frozen=True)
class Named:
    """A row to record: a base on a slice, with so many rows of 2,048 tokens a chip."""

    base: str
    slice: str
    rows: int
    quantize: str = "none"

    @property
    def name(self) -> str:
        return f"{self.base} {self.quantize}" if self.quantize != "none" else self.base

    @property
    def key(self) -> str:
        return f"{self.name} {self.slice} {self.rows}"

    def job(self) -> Train:
        """LoRA r 16 on all seven projections, bf16, full rematerialisation, without dropout, FSDP."""
        preset = {"7b": "llama2_7b", "13b": "llama2_13b", "70b": "llama2_13b", "8b": "llama3_1_8b"}[self.base]
        job, _ = settings.load([preset, "--lora.dropout=0.0"], Verb("plan", "", ()), Train, settings.NoExtras)
        if self.base == "70b":
            job = replace(job, model=Model(weights="meta-llama/Llama-2-70b-hf", shape=LLAMA2_70B))
        job = replace(job, model=replace(job.model, quantize=self.quantize))
        batch = self.rows * slices.find(self.slice).chips
        job = replace(job, data=replace(job.data, length=2048), training=Training(steps=1000, batch_rows=batch))
        return search.for_slice(job, slices.find(self.slice))


def _of(base: str, rows: int, *names: str, quantize: str = "none") -> list[Named]:
    return [Named(base, name, rows, quantize) for name in names]


NAMED = [
    *_of("7b", 1, "v5e-4", "v5e-8", "v5e-16"),
    *_of("7b", 4, "v5e-8", "v5e-16", "v4-4", "v4-8", "v5p-4", "v5p-8", "v6e-4", "v6e-8", "v6e-256", "tpu7x-4"),
    *_of("7b", 4, "2xv5e-16"),
    *_of("8b", 1, "v5e-4", "v5e-8"),
    *_of("8b", 4, "v4-8", "v5p-4", "v6e-4", "v6e-8", "tpu7x-4"),
    *_of("13b", 1, "v5e-4", "v5e-8", "v5e-16"),
    *_of("13b", 4, "v4-8", "v5p-8", "v6e-4", "v6e-8", "tpu7x-4"),
    *_of("70b", 1, "v4-16", "v5e-8", "v5e-16", "v5e-32", "v5e-64", "v5p-8", "v6e-8", "v6e-16"),
    *_of("70b", 2, "tpu7x-4"),
    *_of("70b", 1, "tpu7x-8"),
    *_of("70b", 1, "v5e-8", quantize="int8"),
    *_of("70b", 1, "v5e-8", quantize="nf4"),
]


def versions() -> str:
    """The key of the record: what made it."""
    return f"jax {importlib.metadata.version('jax')}, libtpu {importlib.metadata.version('libtpu')}"


def read() -> dict[str, dict[str, Any]]:
    """Rows by name, by versions; nothing where there is no record yet."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def make(named: Named) -> row.Row:
    job = named.job()
    shape, timeout = inputs.base_shape(job), Options(slice=named.slice).timeout
    return row.plan(job, shape, slices.find(named.slice), asked=job, rows=None, timeout=timeout)


def rendered(record: dict[str, dict[str, Any]], key: str) -> str:
    """The table of one version's rows, in the order of `NAMED`."""
    found = [named for named in NAMED if named.key in record.get(key, {})]
    return table.markdown([row.Row(**record[key][named.key]) for named in found], [named.name for named in found])


def published(text: str) -> str:
    """The table in a guide, empty if there is none yet. Raises ValueError where the marks are missing."""
    first, last = (text.index(mark) for mark in _MARKS)
    return text[first + len(_MARKS[0]) : last].strip()


def publish(text: str, shown: str) -> str:
    """The guide with another table."""
    first, last = (text.index(mark) for mark in _MARKS)
    return f"{text[: first + len(_MARKS[0])]}\n{shown}\n\n{text[last:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="make the rows whose name contains this")
    parser.add_argument("--table", action="store_true", help="write the table of what is recorded, and make nothing")
    options = parser.parse_args()
    record, key = read(), versions()
    if not options.table:
        for named in NAMED:
            if options.only in named.key and named.key not in record.get(key, {}):
                made = make(named)
                record.setdefault(key, {})[named.key] = made.as_json()
                RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
                print(f"{named.key}: {made.outcome}, {table.gib(made.peak)} of {table.gib(made.limit)} GiB", flush=True)
    GUIDE.write_text(publish(GUIDE.read_text(encoding="utf-8"), rendered(record, key)), encoding="utf-8")


if __name__ == "__main__":
    main()
