"""A restricted sentence is hunted through everything that a run writes and prints.

Allowed are the token ids in the cache and in the run's weights: a tokenizer reads the former back as text, so they are
kept on a disk of this machine (`cache.cached_rows`), like the rows that the user has there already; the latter are why
the model card says what it says. Orbax compresses its arrays of numbers, which hold no text, with zstd: those are not
unpacked, its JSON is.
"""

import base64
import gzip
import io
import json
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from bioinstruct_jax import export, train
from bioinstruct_jax.data import tokenizer
from tests.tiny_run import ROWS, write

NOTES = [
    ("Admitted with crushing chest pain radiating to the left jaw since four in the morning.",
     "Inferior myocardial infarction, treated with primary angioplasty of the right coronary artery."),
    ("Brought in by her neighbour, drowsy, smelling of acetone, with a glucose of thirty-one.",
     "Diabetic ketoacidosis after two missed doses of basal insulin during gastroenteritis."),
    ("Eight weeks of night sweats, a supraclavicular node and eleven kilograms of weight lost.",
     "Hodgkin lymphoma is likely; an excision biopsy of that node comes before any steroid."),
    ("Found on the bathroom floor with a shortened and externally rotated left leg.",
     "Displaced intracapsular fracture of the femoral neck, for hemiarthroplasty within a day."),
    ("Sudden tearing pain between the shoulder blades, with unequal pressures in both arms.",
     "Aortic dissection of type A, so neither heparin nor thrombolysis may be given."),
    ("Wheezing at rest, speaking single words, with a silent left lung base after bee keeping.",
     "Severe anaphylaxis, for intramuscular adrenaline into the thigh and not for a nebuliser alone."),
    ("Seven days of ciprofloxacin for a bladder infection, and now a swollen tender heel cord.",
     "Tendinopathy caused by a fluoroquinolone, which is to be stopped and replaced."),
    ("Palpitations and tremor, three months after amiodarone had been started for atrial flutter.",
     "Thyrotoxicosis induced by amiodarone, with beta blockade while its type is found out."),
]  # fmt: skip
ASKED = "What does the admission note of this patient point to, and what follows from it?"
SAMPLES = [
    {"id": f"ward/train/{place}", "instruction": ASKED, "input": note, "output": finding, "category": "IE",
     "source": "ward", "family": "summary", "split": "train", "licence": "restricted", "format": "text", "wording": 0,
     "labels": []}
    for place, (note, finding) in enumerate(NOTES)
]  # fmt: skip
HIDDEN = [ASKED, *(text for pair in NOTES for text in pair)]
WIDTH = 4  # words


def plain(content: bytes) -> str:
    """Letters and digits alone, so that no sign or escape put for a blank or a line end hides a word's neighbour."""
    spelt = re.sub(rb"\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[a-z])", b" ", content)
    return re.sub(rb"[^A-Za-z0-9]+", b" ", spelt).decode().casefold()


WINDOWS = {
    " ".join(words[start : start + WIDTH])
    for words in (plain(text.encode()).split() for text in HIDDEN)
    for start in range(len(words) - WIDTH + 1)
}


def unpacked(content: bytes) -> list[bytes]:
    """The bytes, and what is compressed or encoded in them."""
    found = [content]
    if content.startswith(b"\x1f\x8b"):
        found += unpacked(gzip.decompress(content))
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                found += [member.filename.encode(), *unpacked(archive.read(member))]
    if content.startswith(b"\x89PNG"):  # its texts may be compressed
        for chunk in re.findall(rb"(?:zTXt|iTXt)[^\0]*\0+(.*?)(?=IEND|IDAT)", content, re.DOTALL):
            found.append(zlib.decompressobj().decompress(chunk.lstrip(b"\0")))
    found += [base64.b64decode(text) for text in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
    return found


def hunted(content: bytes) -> set[str]:
    """The windows of restricted sentences that are in it; a byte beside one (a length) may look like a letter."""
    texts = [plain(part) for part in unpacked(content)]
    return {window for window in WINDOWS if any(window in text for text in texts)}


def hunted_below(folder: Path) -> dict[str, set[str]]:
    """What is found in the files of a folder and in their names, by path."""
    found = {}
    for file in folder.rglob("*"):
        content = str(file).encode() + b"\n" + (file.read_bytes() if file.is_file() else b"")
        if here := hunted(content) | (hunted(file.read_bytes()) if file.is_file() else set()):
            found[str(file)] = here
    return found


def rows_with_trouble() -> str:
    """Good rows of both kinds and, restricted, one of each kind that is left out."""
    good = [*SAMPLES, *ROWS]
    long = SAMPLES[0] | {"id": "ward/train/long", "input": " ".join(note for note, _ in NOTES)}
    lines = [json.dumps(row) for row in [*good, long, {name: SAMPLES[1][name] for name in ("instruction", "licence")}]]
    lines += [json.dumps(SAMPLES[2])[:250], json.dumps([SAMPLES[3]]), json.dumps({NOTES[4][0]: NOTES[4][1]})]
    lines += [json.dumps({"messages": [{"role": NOTES[5][0], "content": NOTES[5][1]}], "licence": "restricted"})]
    return "".join(f"{line}\n" for line in lines)


def settings(folder: Path, **changes: object) -> Path:
    """The settings of a short run on them."""
    file = write(folder, **changes)
    (folder / "rows.jsonl").write_text(rows_with_trouble(), encoding="utf-8")
    return file


# Beyond what any run of `tests.tiny_run` writes. The program is the same, so a session compiles it once.
EVERYTHING = {"track": "tensorboard", "training": {"profile_steps": 1, "profile_after": 0}}


@pytest.mark.slow
def test_nothing_of_a_restricted_row_is_written_or_printed(tmp_path, capfd):
    # Mutations, each found: `hidden` False for rows that are no record (bad_rows.jsonl), or for those without a licence
    # that can be read; `str(why)` for `why.bare` (data.json, report.html: the name of a field, a role); the segments of
    # the preview as they are; `Record.id` made of the instruction (rows.jsonl, data.json); a line in `data_lines` with
    # a row's text (report.html, the screen); a row's text in the card, or as a text or a tag for TensorBoard.
    file = settings(tmp_path, **EVERYTHING)
    assert train.main([str(file)]) == 0, capfd.readouterr()
    assert train.main([str(file), "--preview=100"]) == 0
    run = tmp_path / "runs" / "run"
    merged = tmp_path / "merged"
    assert export.main([f"--adapter={run}", f"--out={merged}"]) == 0
    printed = capfd.readouterr()
    (tmp_path / "rows.jsonl").unlink()  # the user's own copy
    assert hunted_below(tmp_path) == {}
    assert hunted((printed.out + printed.err).encode()) == set()

    # all of it was there to be found
    assert {path.name for path in run.iterdir()} > {"tensorboard", "checkpoints", "profile", "report.html", "data.json"}
    data = json.loads((run / "data.json").read_text())
    assert data["sources"][0] | {"path": "", "sha256": ""} == {
        "path": "", "format": "alpaca", "read": 26, "bad": 5, "filtered": 0, "kept": 21, "restricted": 9, "copies": 21,
        "sha256": "",
    }  # fmt: skip
    kinds = [data[part]["dropped"] for part in ("train", "held_out")]
    assert "ward/train/long" in str(kinds)
    bad = [json.loads(line) for line in (run / "bad_rows.jsonl").read_text().splitlines()]
    assert [row["text"].partition(" hash ")[0] for row in bad] == ["restricted, keyed"] * 5
    members = (run / "rows.jsonl").read_text()
    trained = sum(f'"{row["id"]}"' in members for row in SAMPLES)
    assert trained
    assert printed.out.count("restricted, keyed hash") == trained
    assert "Which·drug·class" in printed.out  # the preview of the others
    for folder in (run / "adapter", merged):
        card = (folder / "README.md").read_text()
        assert "- restricted-data\n" in card.split("---")[1]
        assert "Do not publish" in card
    assert "9 rows of rows.jsonl" in (run / "adapter" / "README.md").read_text()

    # the cache holds ids, which are text for whoever has the tokenizer: it is on this machine's disk
    tokens = [np.load(path) for path in (tmp_path / "cache").rglob("tokens.npy")]
    tiny = tokenizer.load("tiny")
    decoded = plain(" ".join(tiny.decode(row) for array in tokens for row in array).encode())
    assert plain(NOTES[0][0].encode()).strip() in decoded


@pytest.mark.parametrize("wrapped", ["plain", "signs", "json", "event", "gzip", "zip", "npz", "html", "name"])
def test_the_hunt_finds_four_words_wherever_they_are(tmp_path, wrapped):
    words = "CRUSHING chest\npain  radiating"
    buffer, file = io.BytesIO(), tmp_path / "file"
    content = words.encode()
    match wrapped:
        case "signs":
            content = words.replace(" ", "·").replace("\n", "↵\n").encode()
        case "json":
            content = json.dumps(words).encode()
        case "event":  # as TensorBoard's files have it, with its length before and a field's number behind
            content = b"B0" + content + b"J"
        case "gzip":
            content = gzip.compress(gzip.compress(content))
        case "zip":
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inside", content)
            content = buffer.getvalue()
        case "npz":
            np.savez_compressed(buffer, text=np.frombuffer(content, np.uint8))
            content = buffer.getvalue()
        case "html":
            content = b'<img src="data:text/plain;base64,' + base64.b64encode(content) + b'">'
        case "name":
            content, file = b"", tmp_path / "crushing-chest-pain-radiating.json"
    file.write_bytes(content)
    assert hunted_below(tmp_path) == {str(file): {"crushing chest pain radiating"}}
    assert not hunted(b"crushing chest pain, radiant")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"track": "wandb"}, "wandb sends"),
        ({"tokenizer": {"path": None, "train_vocab_size": 300}}, "tokenizer.path"),
        ({"data": {"on_bad_row": "raise"}}, "line 22"),
        ({"data": {"over_length": "raise"}}, "ward/train/long"),
        ({"data": {"length": 8}}, "nothing left to train on"),
    ],
)
def test_a_run_that_is_refused_shows_nothing_either(tmp_path, capfd, changes, says):
    # Mutations: the check of `track`, or that of `dataset.texts`, left out; `row.text` of the file's line.
    file = settings(tmp_path, **changes)
    assert train.main([str(file)]) == 2
    printed = capfd.readouterr()
    assert says in printed.err
    (tmp_path / "rows.jsonl").unlink()
    assert hunted_below(tmp_path) == {}
    assert hunted((printed.out + printed.err).encode()) == set()


def test_tokens_of_restricted_rows_are_not_kept_in_a_bucket(tmp_path, caplog):
    # Mutation: the check in `cached_rows` left out.
    from bioinstruct_jax import settings as reader
    from bioinstruct_jax.config import Train
    from bioinstruct_jax.data import dataset
    from bioinstruct_jax.files import path

    for licence, kept in (("restricted", False), ("open", True)):
        place = path(f"memory://cache-of-{licence}")
        file = write(tmp_path, [row | {"licence": licence} for row in ROWS], data={"cache_dir": str(place)})
        job = reader.loads(file.read_text(), job=Train, where="job.yaml")
        dataset.load(job)
        assert bool(place.exists() and list(place.iterdir())) == kept
        assert ("not on this machine" in caplog.text) == (not kept)
        caplog.clear()
