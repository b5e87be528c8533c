"""Generated rows parted into those to tune on and those to be asked, without text that the two share."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from bioinstruct_jax import files
from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.runner.job import Contamination
from bioinstruct_jax.tasks.compared import texts
from bioinstruct_jax.tasks.table import TASKS

TASK = TASKS["own_instructions"]


@dataclass(frozen=True)
class Parted:
    """How many rows are held out, how many are left to tune on, and how many of neither: they meet a held-out one."""

    held_out: int
    tuned_on: int
    met: int

    def said(self) -> str:
        """For people."""
        return (
            f"{self.held_out:,} rows are held out, by a hash of their ids. {self.met:,} others share text with one of "
            f"them and are left out; {self.tuned_on:,} are left to tune on."
        )


def part(generated: Path, train: Path, corpora: Path, count: int) -> Parted:
    """Write the rows to tune on to `train`, and the held-out ones into the folder of the user's own instructions.

    The same rows are parted alike whenever it is done. Held out are those whose ids have the lowest hashes; of the
    others those go that `evaluate` would say a held-out item stands in, by the thresholds that it has unless told.

    Args:
        generated: ``instructions.jsonl`` of `generate`.
        corpora: a folder of corpora; what is written there is the test split of `TASK`.
        count: rows to hold out.

    Raises:
        ValueError: nothing would be left to tune on.
    """
    rows = [json.loads(line) for line in generated.read_text(encoding="utf-8").splitlines()]
    chosen = {row["id"] for row in sorted(rows, key=lambda row: hashlib.sha256(row["id"].encode()).digest())[:count]}
    _write(corpora / TASK.folder / TASK.split("test").files[0], [row for row in rows if row["id"] in chosen])
    index = contamination.items(Contamination())
    for text in texts(TASK, files.path(corpora), "test"):
        index.add(TASK.name, text)
    others = [row for row in rows if row["id"] not in chosen]
    kept = [row for row in others if not index.find(row["instruction"], row["input"], row["output"])]
    if not kept:
        raise ValueError(
            f"of {len(rows)} instructions {len(chosen)} are held out and {len(others)} share text with one of those: "
            "nothing is left to tune on. Give a higher --instructions or a lower --held_out, and another --out"
        )
    _write(train, kept)
    return Parted(len(chosen), len(kept), len(others) - len(kept))


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    kept = ("id", "instruction", "input", "output", "category")
    lines = [json.dumps({key: row[key] for key in kept}, ensure_ascii=False) for row in rows]
    files.write_text(files.path(file), "".join(f"{line}\n" for line in lines))
