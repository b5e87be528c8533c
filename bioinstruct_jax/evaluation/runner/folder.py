"""The folder of an evaluation.

<out>/  config.yaml  started.json  report.html  tables.md  tables.tex  comparisons.json  finished.json
        <model>/results_<date>.json  samples_<task>_<date>.jsonl      in the layout of lm-evaluation-harness
        cache/  what models answered;  judge/ and servers/  journals
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from bioinstruct_jax import files, settings
from bioinstruct_jax.evaluation.results.samples import stamp
from bioinstruct_jax.evaluation.runner import inputs
from bioinstruct_jax.evaluation.runner.job import Evaluate

CONFIG, STARTED, FINISHED, REPORT = "config.yaml", "started.json", "finished.json", "report.html"
MARKDOWN, LATEX, COMPARISONS = "tables.md", "tables.tex", "comparisons.json"
CACHE, SERVERS, JUDGE = "cache", "servers", "judge"


def begin(job: Evaluate) -> Path:
    """Make the folder, or look whether the one that is there is an evaluation; `finish` replaces its files.

    Answers stay in the cache, so that a changed setting asks for nothing but what it changes.

    Raises:
        ValueError: it is no local folder, or holds something else.
        OSError: it cannot be written.
    """
    for name, value in (("out", job.out), ("cache", job.cache)):
        if value is not None and "://" in value:
            raise ValueError(
                f"{name} {value}: answers are written line by line, which takes a local folder; copy later"
            )
    out = Path(files.path(job.out).path)
    if (kept := cache(job, out)).exists() and not kept.is_dir():
        raise ValueError(f"cache {kept}: this is a file; give another --cache=FOLDER, or none")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    if out.is_dir() and any(out.iterdir()) and not (out / STARTED).is_file():
        raise ValueError(f"out {out} is no evaluation and not empty: nothing is overwritten. Give another --out=FOLDER")
    try:
        out.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        began = {"date": now, "inputs": inputs.inputs(job)}  # before any of it is read
        files.write_text(files.path(out / STARTED), json.dumps(began) + "\n")
        files.write_text(files.path(out / CONFIG), settings.dump(job))
    except OSError as error:
        raise ValueError(f"out {out}: it cannot be written ({error.strerror}); give another --out=FOLDER") from error
    return out


def started(out: Path) -> datetime:
    """When the evaluation began, in UTC; it is in the names of its files."""
    said = json.loads((out / STARTED).read_text(encoding="utf-8"))["date"]
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def finish(out: Path, code: int) -> None:
    """Take away the files of earlier times that the new ones replace; then note that these are complete.

    Args:
        code: with which the command ends; not 0 where answers are missing.
    """
    date = stamp(started(out))
    for pattern in ("results_*.json", "samples_*.jsonl"):
        for file in out.glob(f"*/{pattern}"):
            if not file.stem.endswith(date):
                file.unlink()
                if not any(file.parent.iterdir()):
                    file.parent.rmdir()
    said = {**json.loads((out / STARTED).read_text(encoding="utf-8")), "code": code}
    files.write_text(files.path(out / FINISHED), json.dumps(said) + "\n")


def read(out: Path) -> dict[str, str]:
    """The `inputs` of a finished evaluation, as they were when it began."""
    return dict(json.loads((out / FINISHED).read_text(encoding="utf-8")).get("inputs", {}))


def finished(out: Path) -> bool:
    """Whether the evaluation that was begun last in this folder came to its end, with every answer."""
    try:
        began, ended = (json.loads((out / name).read_text(encoding="utf-8")) for name in (STARTED, FINISHED))
    except (OSError, ValueError):  # a torn file was being written when the machine died
        return False
    return bool(ended == {**began, "code": 0})


def cache(job: Evaluate, out: Path) -> Path:
    """Where answers are kept."""
    return Path(files.path(job.cache).path) if job.cache else out / CACHE
