"""The folder of a generation: settings first, then the journal, and what follows from the two, made anew each time.

<out>/  config.yaml  origin.json  journal.jsonl  instructions.jsonl  rejected.jsonl  statistics.json  report.html
        forms/<form>/  audit/
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bioinstruct_jax import files, settings
from bioinstruct_jax.data.output.card import Card, CardSource
from bioinstruct_jax.data.output.folder import PUBLISHED, writing
from bioinstruct_jax.data.sample import Category, Sample
from bioinstruct_jax.generation.item import Accepted, Rejected
from bioinstruct_jax.generation.job import Generate

CONFIG, ORIGIN, JOURNAL, STATISTICS = "config.yaml", "origin.json", "journal.jsonl", "statistics.json"
INSTRUCTIONS, REJECTED, REPORT, FORMS, AUDIT = "instructions.jsonl", "rejected.jsonl", "report.html", "forms", "audit"
ASKED = re.compile(
    r"(seed|seeds|shown|asked|answers\.(by|teachers).*|teachers(\.\d+(\.(name|model|weight|decoding.*))?)?): "
)
LIMITS = """\
- **Not clinically validated, and not for clinical use.** No person has checked the rows. Language models write \
errors, inventions and dangerous advice in the same tone as facts; a model that is tuned on them learns these too.
- Instructions, inputs and outputs are all machine-made. Every patient is meant to be invented, but a model may repeat \
what it was trained on.
- They have the gaps, habits and biases of the models that wrote them and of the seed tasks that were shown.
- Whether a model may be trained on them, and for what, is for the terms of the models' providers to say."""
GROUPS: dict[str, Category] = {"question_answering": "QA", "extraction": "IE", "generation": "GEN"}


def begin(job: Generate, origin: dict[str, str], *, accept_changes: bool) -> Path:
    """Look whether the folder can be that of this job, and make it.

    Args:
        origin: hashes of what requests are made of beside the settings: prompt and seeds.
        accept_changes: requests may differ from those of the journal, whose answers then stay there unused.

    Raises:
        ValueError: it is no local folder, or holds something else, or the requests of this job are other ones than
            those whose answers are there.
        OSError: it cannot be written.
    """
    if "://" in job.out:
        raise ValueError(
            f"out {job.out}: the journal is synced line by line, which takes a local folder; copy it later"
        )
    out = Path(files.path(job.out).path)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    ours = (out / ORIGIN).is_file() or (out / JOURNAL).is_file()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise ValueError(f"out {out} is no generation and not empty: nothing is overwritten. Give another --out=FOLDER")
    if (out / CONFIG).is_file() and (out / JOURNAL).is_file() and not accept_changes:
        made = settings.loads(files.read_text(files.path(out / CONFIG)), job=Generate, where=str(out / CONFIG))
        different = [line for line in settings.changes(made, job) if ASKED.match(line)]
        before = _origin(out)
        different += [
            f"{name}: {before[name]} -> {now}" for name, now in origin.items() if before.get(name, now) != now
        ]
        if different:
            raise ValueError(
                f"{out} holds answers to other requests: {'; '.join(different)}. Give another --out=FOLDER, or "
                "--accept_changes to ask anew: what is paid for already then stays in the journal, unused"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out {out}: no folder can be made there ({error.strerror}); give another one") from error
    return out


def record(out: Path, job: Generate, origin: dict[str, str]) -> None:
    """Write the settings, once the journal is held: no other process is at work in the folder then."""
    _replace(out / ORIGIN, json.dumps(origin, indent=1) + "\n")
    _replace(out / CONFIG, settings.dump(job))


def _replace(file: Path, text: str) -> None:
    """Write a small file whole or not at all, and only where it says something new."""
    if file.is_file() and file.read_bytes() == text.encode():
        return
    draft = file.with_name(f".{file.name}.new")
    with draft.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def clear(out: Path) -> None:
    """`statistics.json` goes before anything else is written anew."""
    (out / STATISTICS).unlink(missing_ok=True)


def _origin(out: Path) -> dict[str, str]:
    try:
        found = json.loads((out / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never written, or torn while it was
        return {}
    return found if isinstance(found, dict) else {}


def write(out: Path, job: Generate, accepted: list[Accepted], rejected: list[Rejected], told: dict[str, Any]) -> None:
    """The rows, and `statistics.json` last, so that it is there for whole files alone; `report.html` stands already."""
    _lines(out / INSTRUCTIONS, accepted)
    _lines(out / REJECTED, rejected)
    shutil.rmtree(out / FORMS, ignore_errors=True)
    for form in job.forms if accepted else ():
        card = _card(job, out, accepted, rejected) if form in PUBLISHED else None
        with writing(str(out / FORMS / form), form=form, card=card) as output:
            for sample in samples(accepted):
                output.add(sample)
    with (out / STATISTICS).open("w", encoding="utf-8") as file:
        file.write(json.dumps(told, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(file: Path, rows: Iterable[Accepted | Rejected]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def samples(accepted: Iterable[Accepted]) -> Iterator[Sample]:
    """The rows as `prepare` writes them; their source is the teacher."""
    for row in accepted:
        yield Sample(
            id=row.id,
            licence="open",
            instruction=row.instruction,
            input=row.input,
            output=row.output,
            category=GROUPS.get(row.category, "other"),
            source=row.teacher,
            family="generated",
            split="train",
            format="text",
            wording=0,
        )


def _card(job: Generate, out: Path, accepted: list[Accepted], rejected: list[Rejected]) -> Card:
    reasons: dict[str, int] = {}
    for row in rejected:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    name = re.sub(r"[^a-z0-9]+", "_", out.name.lower()).strip("_")
    return Card(
        name=name if name[:1].isalpha() else f"rows_{name}",
        title=f"Generated biomedical instructions: {out.name}",
        summary=f"Instructions written by language models from {job.shown} seed tasks a request, filtered for novelty "
        "(ROUGE-L) and form by bioinstruct-jax. No person has checked them.",
        sources=tuple(
            CardSource(
                teacher.name,
                f"written by {teacher.model}",
                "the terms of the model's provider",
                "open",
                "made by bioinstruct-jax generate; whether models may be trained on it is said by the provider's terms",
                "machine-made: errors, biases and inventions of the model are in it",
            )
            for teacher in job.teachers
        ),
        removed=reasons,
        limits=LIMITS,
        wordings={"generated": ("written for each row by the teacher",)},
    )
