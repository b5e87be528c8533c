"""`generate` from its command line, against servers on this machine."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from bioinstruct_jax import generate
from bioinstruct_jax.generation import scripted_teacher
from bioinstruct_jax.generation.filters import REASONS
from bioinstruct_jax.generation.item import CATEGORIES

KEY = "sk-test-not-a-key-0123456789"


@pytest.fixture
def teacher():
    server = scripted_teacher.serve()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()


@pytest.fixture
def words(teacher, tmp_path):
    """The words of a small generation."""
    place = f"--out={tmp_path / 'out'}"
    return ["scripted", place, f"--teachers.0.base_url={teacher}", "--categories.by=off", "--target=30"]


def rows(folder, name="instructions.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def made(folder):
    return {name: (folder / name).read_bytes() for name in ("instructions.jsonl", "rejected.jsonl")}


def statistics(folder):
    return json.loads((folder / "statistics.json").read_text())


def test_a_generation_from_the_first_request_to_the_report(words, tmp_path, capsys):
    out = tmp_path / "out"
    words.append("--categories.by=classifier")
    assert generate.main(words) == 0
    accepted, rejected, told = rows(out), rows(out, "rejected.jsonl"), statistics(out)
    assert len(accepted) == 30
    assert {row["category"] for row in accepted} <= set(CATEGORIES)
    assert {row["reason"] for row in rejected} <= set(REASONS)
    assert told["totals"]["seen"] == len(accepted) + len(rejected)
    assert told["rejected"] == {reason: sum(row["reason"] == reason for row in rejected) for reason in told["rejected"]}
    assert told["ended"]["reason"] == "target"
    assert 0 < told["agreement"]["accuracy"] <= 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "composed by a script" in page
    said = capsys.readouterr()
    assert "30 instructions accepted" in said.out
    assert "accepted" in said.err
    # the same command again asks for nothing and writes the same
    before = made(out)
    assert generate.main(words) == 0
    assert made(out) == before
    assert statistics(out)["client"]["requests"]["sent"] == 0
    assert "taken from the journal" in capsys.readouterr().out


def test_concurrency_never_changes_the_outcome(tmp_path):
    # Mutation: replies given to the pool as they come.
    found = []
    for concurrency, delay in ((1, 0.0), (16, 0.01)):
        server = scripted_teacher.serve(delay=delay)
        place = tmp_path / str(concurrency)
        assert (
            generate.main(
                [
                    *("scripted", f"--out={place}", "--target=40", "--categories.by=off"),
                    f"--teachers.0.base_url=http://127.0.0.1:{server.server_address[1]}/v1",
                    f"--teachers.0.limits.concurrency={concurrency}",
                ]
            )
            == 0
        )
        server.shutdown()
        found.append(made(place))
    assert found[0] == found[1]


def test_other_filters_and_a_higher_target_use_what_is_paid_for(words, tmp_path):
    out = tmp_path / "out"
    assert generate.main(words) == 0
    answered = statistics(out)["client"]["requests"]["answered"]
    # a lower target is the beginning of the higher one
    first = rows(out)
    assert generate.main([*words[:-1], "--target=12", "--replay"]) == 0
    assert rows(out) == first[:12]
    # stricter filters from the journal alone: fewer rows, nothing asked
    assert generate.main([*words, "--filters.rouge_l=0.4", "--replay"]) == 3
    assert statistics(out)["ended"]["reason"] == "journal"
    assert statistics(out)["client"]["requests"]["sent"] == 0
    assert all(row["similarity"] <= 0.4 for row in rows(out))
    # a higher target goes on from there
    assert generate.main([*words[:-1], "--target=50"]) == 0
    told = statistics(out)["client"]["requests"]
    assert told["replayed"] >= answered
    assert rows(out)[:30] == first


def test_answers_to_other_requests_are_not_mixed_in(words, tmp_path, capsys):
    assert generate.main(words) == 0
    capsys.readouterr()
    assert generate.main([*words, "--shown=2"]) == 2
    assert "shown: 3 -> 2" in capsys.readouterr().err
    before = made(tmp_path / "out")
    assert generate.main([*words, "--teachers.0.limits.concurrency=3", "--teachers.0.limits.timeout=9"]) == 0
    assert made(tmp_path / "out") == before
    assert generate.main([*words, "--shown=2", "--accept_changes"]) == 0
    assert all(len(row["seeds"]) == 2 for row in rows(tmp_path / "out"))


def test_a_second_pass_with_a_consensus_of_two(words, tmp_path):
    more = ["--answers.by=second_pass", "--answers.teachers=[scripted, other]", "--teachers.1.name=other"]
    url = words[2].partition("=")[2]
    more += ["--teachers.1.model=scripted-teacher", f"--teachers.1.base_url={url}", "--teachers.1.weight=0.001"]
    assert generate.main([*words, *more, "--categories.by=teacher"]) == 0
    accepted, told = rows(tmp_path / "out"), statistics(tmp_path / "out")
    assert len(accepted) == 30
    assert all(row["output"] and row["answered_by"] == "scripted" for row in accepted)
    assert told["agreement"]["by"] == "teacher scripted"
    assert told["agreement"]["rows"] > 80
    assert told["agreement"]["unknown"] == 0
    assert told["agreement"]["accuracy"] > 0.3
    assert {row["category"] for row in accepted} <= set(CATEGORIES)
    keys = [json.loads(line).get("key", "") for line in (tmp_path / "out/journal.jsonl").read_text().splitlines()]
    assert any(key.startswith("answer/") and key.endswith("/other") for key in keys)


def test_labels_are_asked_for_first_where_one_teacher_answers(words, tmp_path):
    assert generate.main([*words, "--answers.by=second_pass"]) == 0
    keys = [json.loads(line).get("key", "") for line in (tmp_path / "out/journal.jsonl").read_text().splitlines()]
    assert any(key.startswith("label/") for key in keys)
    assert any(key.startswith("answer/") for key in keys)


def test_forms_cards_and_sheets_are_made_of_the_accepted_rows(words, tmp_path, capsys):
    out = tmp_path / "out"
    assert generate.main([*words, "--forms=[chat, hub, alpaca-json]"]) == 0
    assert generate.main([*words, "--forms=[chat, hub, alpaca-json]"]) == 0  # over its own
    from bioinstruct_jax.config import Source
    from bioinstruct_jax.data.readers import read

    first = rows(out)
    for form, file in (("alpaca-json", "train-00000.json"), ("chat", "train-00000.jsonl")):
        found = list(read(Source(path=str(out / "forms" / form / file))))
        assert [row.output for row in found] == [row["output"] for row in first]
    assert [row.instruction for row in read(Source(path=str(out / "instructions.jsonl")))] == [
        row["instruction"] for row in first
    ]
    card = (out / "forms/hub/README.md").read_text()
    assert "No person has checked them" in card
    assert "scripted-teacher" in card
    assert generate.main([*words, "--audit=5"]) == 0
    assert len((out / "audit/sheet_1.csv").read_text(encoding="utf-8-sig").splitlines()) > 5
    assert generate.main([*words, "--agreement"]) == 0
    capsys.readouterr()
    assert generate.main([*words, "--audit=5"]) == 2
    assert "may be filled in" in capsys.readouterr().err


def test_what_will_be_asked_and_paid_is_told_before(capsys, tmp_path):
    # neither needs a server or a key, and neither makes a folder
    place = f"--out={tmp_path / 'new'}"
    assert generate.main(["bioinstruct", place, "--preview=2"]) == 0
    said = capsys.readouterr().out
    assert said.count("=== tasks/") == 2
    assert "with exactly" in said
    assert generate.main(["bioinstruct", place, "--dry-run"]) == 0
    assert "25,005 instructions" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--teachers.0.base_url=http://example.org/v1"], "plain http is for this machine alone"),
        (["--teachers.0.base_url=https://example.org/v1"], "price"),
        (["--teachers.0.base_url=https://key@example.org/v1"], "environment"),
        (["--answers.teachers=[nobody]"], "second_pass"),
        (["--categories.teacher=nobody"], "no teacher is called nobody"),
        (["--seeds=/no/such/file"], "no such file"),
        (["--out=gs://bucket/x"], "local folder"),
        (["--asked=0"], "asked"),
        (["--filters.rogue_l=0.5"], "rouge_l"),
        (["--decontamination.corpora=/no/such/folder"], "no such folder"),
        (["--preview=1", "--dry-run"], "one at a time"),
    ],
)
def test_bad_settings_end_with_what_to_do(words, more, said, capsys):
    assert generate.main([*words, *more]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_folder_of_something_else_is_left_alone(words, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    assert generate.main(words) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "out/thesis.txt").read_text() == "mine"


def test_a_server_that_is_not_there_stops_the_run_and_nothing_is_lost(words, tmp_path, capsys):
    gone = [*words, "--teachers.0.limits.attempts=2", "--teachers.0.limits.backoff=0.01"]
    assert generate.main([*gone, "--teachers.0.base_url=http://127.0.0.1:9/v1"]) == 4
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    assert rows(tmp_path / "out") == []
    assert generate.main(gone) == 0  # and with the server it goes on
    assert len(rows(tmp_path / "out")) == 30


def test_the_budget_is_a_hard_stop(words, tmp_path, capsys):
    # Mutation: spending looked at after the answer alone.
    priced = [*words, "--teachers.0.price={input: 100, output: 1000}", "--teachers.0.decoding.max_tokens=2000"]
    assert generate.main([*priced, "--target=500", "--budget.dollars=6"]) == 3
    told = statistics(tmp_path / "out")
    assert 0 < told["client"]["dollars"]["spent"] <= 6
    assert told["ended"]["reason"] == "budget"
    assert "raise the budget" in capsys.readouterr().out.lower()
    few = len(rows(tmp_path / "out"))
    assert generate.main([*priced, "--target=500", "--budget.dollars=12"]) == 3
    assert len(rows(tmp_path / "out")) > few
    assert statistics(tmp_path / "out")["client"]["dollars"]["spent"] <= 12


def test_a_teacher_that_repeats_itself_ends_the_run(words, tmp_path):
    # The script makes no thousand new instructions at this threshold; without patience it would go on forever.
    told = [*words[:-1], "--target=5000", "--filters.rouge_l=0.31", "--patience=3", "--asked=2"]
    assert generate.main(told) == 3
    assert statistics(tmp_path / "out")["ended"]["reason"] == "patience"
    assert generate.main([*words[:-1], "--target=5000", "--most_requests=4", "--accept_changes"]) == 3
    assert statistics(tmp_path / "out")["ended"]["reason"] == "most_requests"


def test_the_key_stands_in_nothing_that_is_written_or_said(words, tmp_path, monkeypatch, capsys):
    # sdg_hub#517: an API key in the logs.
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert generate.main([*words, "--forms=[hub]"]) == 0
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file


def start(words):
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "bioinstruct_jax.generate", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def answered(journal):
    """Responses that a journal has."""
    return journal.read_bytes().count(b'"kind":"response"') if journal.exists() else 0


def test_a_signal_ends_it_with_everything_written(tmp_path):
    server = scripted_teacher.serve(delay=0.3)
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    words = [
        "scripted",
        f"--out={tmp_path}/out",
        f"--teachers.0.base_url={url}",
        "--target=4000",
        "--categories.by=off",
    ]
    for number, code in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
        process = start(words)
        journal = tmp_path / "out/journal.jsonl"
        before = answered(journal)
        deadline = time.monotonic() + 120
        while answered(journal) < before + 20:  # sent alone makes no row
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
        assert process.returncode == code, told
        assert "Traceback" not in told
        assert rows(tmp_path / "out")
        assert statistics(tmp_path / "out")["ended"]["reason"] == "interrupted"
    server.shutdown()


@pytest.mark.slow
def test_killed_at_random_it_makes_the_same_pool_and_repeats_only_what_was_in_flight(tmp_path):
    # Mutations: the journal not synced before parsing is not seen by a kill of the process alone, but a line that is
    # written after parsing is: requests would be asked for twice. The last process may not need what was lost.
    from tests.api.server import NEVER, Answer, serve

    teacher, enough, kills, draw = scripted_teacher.Teacher(), math.inf, 8, random.Random(7)

    def script(seen):  # what comes after enough waits until the kill: no machine is so quick that it ends before
        return Answer(content=teacher.answer(seen.json["messages"]), delay=0.1 if seen.number <= enough else NEVER)

    with serve(script) as server:
        words = [f"--teachers.0.base_url={server.url}", "--target=600", "--categories.by=off"]
        words.append("--teachers.0.limits.concurrency=8")
        assert generate.main(["scripted", f"--out={tmp_path}/whole", *words]) == 0
        whole, asked = made(tmp_path / "whole"), len(server.seen)
        assert asked > kills * 9  # something is left to ask after the last kill
        for _ in range(kills):
            enough = len(server.seen) + draw.randint(1, 9)
            process, deadline = start(["scripted", f"--out={tmp_path}/killed", *words]), time.monotonic() + 120
            while len(server.seen) < enough:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.2))
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        assert answered(tmp_path / "killed/journal.jsonl")
        enough = math.inf
        process = start(["scripted", f"--out={tmp_path}/killed", *words])
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    assert made(tmp_path / "killed") == whole
    lines = [json.loads(line) for line in (tmp_path / "killed/journal.jsonl").read_text().splitlines()]
    sent = Counter(line["key"] for line in lines if line["kind"] == "sent")
    ended = Counter(line["key"] for line in lines if line["kind"] in ("response", "fault"))
    lost = sent - ended
    assert 0 < lost.total() <= kills * (8 + 4)  # in flight, or journaled and about to be sent
    assert all(sent[key] == 1 or lost[key] for key in sent), "only what was on its way is asked again"
    assert statistics(tmp_path / "killed")["client"]["requests"]["lost"] == lost.total()


def test_categories_of_a_teacher_are_kept_whatever_the_filters_are(words, tmp_path, capsys):
    # Mutation: batches found by their composition alone: other filters lose every category, or pay for them again.
    out, asked = tmp_path / "out", [*words, "--categories.by=teacher"]
    assert generate.main(asked) == 0
    first = {row["id"]: row["category"] for row in rows(out)}
    assert all(first.values())
    assert generate.main([*asked, "--target=17", "--replay"]) == 0
    assert {row["id"]: row["category"] for row in rows(out)} == {id: first[id] for id in list(first)[:17]}
    assert generate.main([*asked, "--target=17", "--categories.rows=7"]) == 0
    assert statistics(out)["client"]["requests"]["sent"] == 0
    assert generate.main([*asked, "--target=34"]) == 0
    more = {row["id"]: row["category"] for row in rows(out)}
    assert all(more.values())
    assert first.items() <= more.items()


def test_a_run_folder_of_another_verb_is_left_alone(words, tmp_path, capsys):
    # Mutation: any folder with a config.yaml taken for a generation.
    (tmp_path / "out").mkdir()
    (tmp_path / "out/config.yaml").write_text("precious: 1\n")
    assert generate.main(words) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "out/config.yaml").read_text() == "precious: 1\n"


def test_two_at_once_in_one_folder_are_refused(words, tmp_path, capsys):
    # Mutation: settings written before the journal is held.
    from bioinstruct_jax.api.journal import Journal

    assert generate.main(words) == 0
    settings = (tmp_path / "out/config.yaml").read_bytes()
    with Journal.open(tmp_path / "out/journal.jsonl"):
        assert generate.main([*words, "--target=99"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "out/config.yaml").read_bytes() == settings


def test_what_a_kill_left_of_the_settings_is_no_obstacle(words, tmp_path):
    # Killed before the settings were written, or while they were: they are written beside and put in place whole.
    assert generate.main(words) == 0
    before = made(tmp_path / "out")
    (tmp_path / "out/config.yaml").unlink()
    (tmp_path / "out/.config.yaml.new").write_text("targ")
    assert generate.main(words) == 0
    assert made(tmp_path / "out") == before


def test_a_budget_that_ends_in_the_second_pass_loses_nothing(words, tmp_path):
    # Mutation: seen counted as accepted and rejected.
    more = ["--answers.by=second_pass", "--teachers.0.price={input: 100, output: 1000}", "--target=200"]
    more += ["--teachers.0.decoding.max_tokens=2000", "--budget.dollars=9"]
    assert generate.main([*words, *more]) == 3
    told = statistics(tmp_path / "out")["totals"]
    assert told["seen"] == told["accepted"] + told["rejected"] + told["waiting"]
    assert told["waiting"]
    assert generate.main([*words, *more, "--budget.dollars=20"]) == 3
    assert statistics(tmp_path / "out")["totals"]["accepted"] > told["accepted"]


def test_batches_bring_the_same_as_single_requests(words, tmp_path):
    # Mutation: the lines of a batch taken in the order in which they come, which the server shuffles.
    from tests.api.batch_server import Batches
    from tests.api.server import completion, serve

    teacher = scripted_teacher.Teacher()

    def answer(asked):
        return {"status_code": 200, "body": json.loads(completion(teacher.answer(asked["body"]["messages"])))}

    plain = [words[0], *words[2:4], "--answers.by=second_pass", "--target=20"]
    assert generate.main([*plain, f"--out={tmp_path}/single"]) == 0
    with serve(other=Batches(answer, polls=0)) as server:
        batch = [*plain, f"--out={tmp_path}/batch", f"--teachers.0.base_url={server.url}", "--teachers.0.batch=on"]
        assert generate.main(batch) == 0
        assert not server.seen
    assert made(tmp_path / "batch") == made(tmp_path / "single")
