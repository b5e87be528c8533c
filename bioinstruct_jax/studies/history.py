"""What of a study was changed after cells of it had been scored, which every report tells.

<out>/history.jsonl   a line each time: {"date": in UTC, "scored": cells that had scores then, "changes": [...]}
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bioinstruct_jax import files, settings
from bioinstruct_jax.studies.job import Study

HISTORY = "history.jsonl"


def note(out: Path, old: Study, new: Study, scored: int) -> None:
    """Add a line where something is changed that scores may depend on, and some cells had been scored.

    A study may grow. But whoever looks at scores first, and adds seeds or redefines a question then, has no p value.
    """
    changed = settings.changes(_counted(old), _counted(new)) if scored else []
    if changed:
        date = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        line = json.dumps({"date": date, "scored": scored, "changes": changed}, ensure_ascii=False) + "\n"
        files.write_text(files.path(out / HISTORY), _read(out) + line)


def told(out: Path) -> list[str]:
    """A sentence for each line. Raises ValueError for a file that is not ours."""
    found = []
    for number, line in enumerate(_read(out).splitlines(), 1):
        try:
            one = json.loads(line)
            found.append(
                f"changed on {one['date']} UTC, when {one['scored']} cells had been scored: {'; '.join(one['changes'])}"
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{out / HISTORY}, line {number}: not a line of a study's history ({error})") from None
    return found


def _counted(job: Study) -> Study:
    """The study with one value for whatever no score depends on."""
    return replace(job, out="out", corpora="corpora", title="", slice=None, price=None)


def _read(out: Path) -> str:
    file = files.path(out / HISTORY)
    return files.read_text(file) if file.is_file() else ""
