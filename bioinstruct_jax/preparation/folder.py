"""The folder of a preparation: its settings first, the index of its rows last, reports between.

    <out>/  config.yaml  rows/ (shards, index.json)  report.html  report.json  overlaps.jsonl  audit/

`rows/` is complete in itself and can be moved or passed on; the rest says how it was made.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from upath import UPath

from bioinstruct_jax import files, settings
from bioinstruct_jax.preparation.job import Prepare

ROWS, CONFIG, REPORT, OVERLAPS, AUDIT = "rows", "config.yaml", "report.json", "overlaps.jsonl", "audit"
PROBLEMS = "problems.txt"  # of the workers of Apache Beam, until the command has told them


def finished(out: UPath, job: Prepare) -> bool:
    """Whether these very rows were made here before, and are whole.

    Raises:
        ValueError: another preparation is here, or something else, or rows that were damaged since: says which settings
            or corpora differ, or which files are damaged.
        FileNotFoundError: as `sources.find`.
    """
    from bioinstruct_jax.data.output import claim, index
    from bioinstruct_jax.data.output.check import check
    from bioinstruct_jax.preparation.sources import fingerprint

    if (out / CONFIG).is_file() and settings.holds(text := files.read_text(out / CONFIG), Prepare):
        made = settings.loads(text, job=Prepare, where=str(out / CONFIG))
        different = [line for line in settings.changes(made, job) if not line.startswith(("out:", "workers:"))]
        if different:
            raise ValueError(
                f"{out} was made with other settings: {'; '.join(different)}. Give another --out=FOLDER, or "
                "remove this one"
            )
        rows = out / ROWS
        if not (rows / index.INDEX).is_file() or (rows / claim.MARKER).is_file() or not (out / REPORT).is_file():
            return False
        check(rows)
        before, now = json.loads(files.read_text(out / REPORT))["files"], fingerprint(job)
        if changed := sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
            raise ValueError(
                f"{out} was made of other corpora: {', '.join(changed[:5])}{' and more' if len(changed) > 5 else ''} "
                "came, went or changed since. Give another --out=FOLDER, or remove this one"
            )
        return True
    if wrong := files.hindrance(out):
        raise ValueError(f"out {out}: {wrong}; give another --out=FOLDER")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"{out} is no preparation and not empty: nothing is overwritten. Give another --out=FOLDER")
    return False


def begin(out: UPath, job: Prepare) -> None:
    """Write the job's settings, the first file of the folder."""
    files.write_text(out / CONFIG, settings.dump(job))


def tell(out: UPath, told: dict[str, Any], page: str, overlaps: Path) -> None:
    """Write both reports, and copy the list of overlaps."""
    files.write_text(out / REPORT, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    files.write_text(out / "report.html", page)
    with overlaps.open("rb") as source, (out / OVERLAPS).open("wb") as target:
        shutil.copyfileobj(source, target)
