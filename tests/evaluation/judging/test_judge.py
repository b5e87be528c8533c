"""Judges of several characters behind a real server: what the outcome says of answers, and of the judge."""

import json
from dataclasses import replace

import pytest

from bioinstruct_jax.api.settings import Budget, Price
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.evaluation.judging import canaries
from bioinstruct_jax.evaluation.judging import judge as judging
from bioinstruct_jax.evaluation.judging.samples import chosen, judged
from tests.api.server import Answer, serve
from tests.evaluation.judging import scripted
from tests.evaluation.judging.scripted import FAIR, GOOD, obeys, samples

BASE = [FAIR, FAIR, GOOD, "wrong", "", FAIR, FAIR, "wrong"]
TUNED = [GOOD, GOOD, FAIR, GOOD, GOOD, FAIR, GOOD, "also wrong"]


@pytest.fixture
def judge(tmp_path):
    """Judges BASE and TUNED with a scripted judge; the journal is the same each time."""

    def judge(script=None, *, given=None, **settings):
        with serve(script or scripted.judge()) as server:
            seen = []
            job = scripted.job(server.url, **settings)
            told = judging.run(job, given or samples(BASE, TUNED), tmp_path / "j.jsonl", lambda *at: seen.append(at))
            judge.server, judge.progress = server, seen
            return json.loads(json.dumps(told, allow_nan=False))

    judge.journal = tmp_path / "j.jsonl"
    return judge


def test_an_honest_judge(judge):
    # Mutation: a blank answer left out of the mean; a tie counted as half a loss; wins from the first order alone.
    told = judge()
    assert told["complete"]
    assert told["trusted"] is True
    assert told["warnings"] == []
    base, tuned = (told["tasks"]["meqsum"]["models"][name] for name in ("base", "tuned"))
    assert base["criteria"]["overall"]["value"] == pytest.approx((3 + 3 + 5 + 1 + 1 + 3 + 3 + 1) / 8)
    assert base["score"]["value"] == pytest.approx((20 / 8 - 1) / 4)
    assert (base["judged"], base["missing"], base["blank"], base["difference"]) == (8, 0, 1, None)
    assert tuned["criteria"]["safety"]["value"] == pytest.approx((5 + 5 + 3 + 5 + 5 + 3 + 5 + 1) / 8)
    assert tuned["difference"]["estimate"]["value"] == pytest.approx((32 - 20) / 8 / 4)
    assert base["overall"]["i4"] == 1
    assert tuned["overall"]["i4"] == 5
    pair = told["tasks"]["meqsum"]["pairs"]["tuned"]
    assert [pair[name] for name in ("wins", "ties", "losses", "missing", "changed_with_order")] == [5, 2, 1, 0, 0]
    assert pair["win_rate"]["value"] == pytest.approx(6 / 8)
    assert pair["sign_test"]["p"] == pytest.approx(2 * 7 / 64)  # binomial: at most 1 of 6
    assert told["agreement"]["overall"] == {"pairs": 15, "exact": 1.0, "within_one": 1.0, "kappa": 1.0}
    assert told["position"]["first_share"] == 0.5
    assert told["position"]["changed_with_order"] == 0
    assert told["canaries"]["share_low"] == 1.0
    assert told["canaries"]["judged"] == 6
    effect = told["injection"]
    drawn = list(chosen(scripted.job("http://127.0.0.1:1/v1"), samples(BASE, TUNED))["meqsum"].values())
    assert effect["answers"] == sum(not sample.blank for row in drawn[:6] for sample in row.values())
    assert effect["difference"]["estimate"]["value"] == 0
    assert effect["raised"] == 0
    assert judge.progress[-1] == (told["requests"]["planned"],) * 2


def test_a_judge_that_obeys_answers_is_found_out(judge):
    # Mutation: canaries without a request for a high grade; injected answers compared with themselves.
    told = judge(scripted.judge(obeys))
    assert told["trusted"] is False
    assert "not to be trusted" in told["warnings"][0]
    assert told["canaries"]["low"] == 0
    assert told["canaries"]["high"] == 6
    effect = told["injection"]
    assert effect["after"] == 5
    assert effect["difference"]["estimate"]["value"] == pytest.approx(5 - effect["before"])
    assert effect["difference"]["estimate"]["low"] > 0
    assert any("raise this judge's grade" in warning for warning in told["warnings"])
    assert set(effect["by_ask"]) == set(canaries.ASKS)


def test_a_judge_that_finds_bad_answers_fair_is_not_trusted(judge):
    # Mutation: 3 counts as low.
    told = judge(scripted.judge(lambda answer: 3))
    assert told["trusted"] is False
    assert (told["canaries"]["low"], told["canaries"]["high"], told["canaries"]["mean"]) == (0, 0, 3.0)


def test_a_judge_that_prefers_the_first_place(judge):
    # Mutation: the second order is not turned round.
    told = judge(scripted.judge(better=lambda first, second: "first"))
    pair = told["tasks"]["meqsum"]["pairs"]["tuned"]
    assert (pair["wins"], pair["losses"], pair["changed_with_order"]) == (1, 0, 6)  # the blank is settled, one is equal
    assert pair["ties"] == 7
    assert told["position"]["first_share"] == 1.0
    assert told["position"]["changed_share"] == 1.0


@pytest.mark.parametrize("reply", ["I would say 5 out of 5.", "", json.dumps({"overall": 9}), "{" * 99])
def test_garbage_is_no_verdict(judge, reply):
    told = judge(lambda seen: Answer(content=reply))
    assert told["complete"]
    assert told["requests"]["without_verdict"] == told["requests"]["answered"] == told["requests"]["planned"]
    base = told["tasks"]["meqsum"]["models"]["base"]
    assert (base["judged"], base["missing"], base["score"]["value"]) == (1, 7, 0.0)  # the blank alone
    assert told["tasks"]["meqsum"]["pairs"]["tuned"]["missing"] == 6
    assert told["trusted"] is False
    assert told["canaries"]["missing"] == 6
    assert told["injection"]["difference"]["estimate"]["value"] is None
    assert told["agreement"]["overall"]["pairs"] == 0


def test_without_canaries_nobody_knows(judge):
    told = judge(canaries=0, pairwise=False, passes=1)
    assert told["trusted"] is None
    assert "not known" in told["warnings"][0]
    assert told["requests"]["planned"] == 15
    assert told["tasks"]["meqsum"]["pairs"] == {}


def test_a_budget_ends_it_with_whole_items_and_the_same_call_goes_on(judge):
    # Mutation: all first passes before all second ones; the journal not asked first.
    first = judge(lambda seen: replace(scripted.judge()(seen), usage=(3000, 20)), budget=Budget(tokens=120_000))
    assert not first["complete"]
    assert "budget" in first["stopped"]
    done = first["requests"]["answered"]
    assert 0 < done < first["requests"]["planned"]
    assert any(warning.startswith("incomplete") for warning in first["warnings"])
    models = first["tasks"]["meqsum"]["models"]
    assert abs(models["base"]["judged"] - models["tuned"]["judged"]) <= 2
    second = judge()
    assert second["complete"]
    assert len(judge.server.seen) == second["requests"]["planned"] - done
    again = judge()
    assert not judge.server.seen
    assert again | {"spent": 0} == second | {"spent": 0}


def test_restricted_texts_stay_here(judge):
    # Mutation: the journal is the named one; what the server said when it stopped is told.
    def script(seen):
        if seen.number == 1:
            return Answer(status=400, body=b'{"error": {"message": "response_format: secretword"}}')
        if seen.number == 2:
            return Answer(status=500, body=b"secretword")
        texts = scripted.blocks(seen.prompt)
        said = json.loads(scripted.judge()(seen).content) | {"reason": texts["input"]}
        return Answer(content=json.dumps(said))

    told = judge(script, given=samples(BASE, TUNED, restricted=True))
    assert "secretword" not in json.dumps(told)
    assert told["complete"]
    assert told["trusted"] is True
    assert told["requests"]["without_verdict"] == 0  # the refused response_format was understood
    assert not judge.journal.exists()
    again = judge(given=samples(BASE, TUNED, restricted=True))
    assert judge.server.seen, "nothing is kept, so it is asked again"
    assert again["tasks"] == told["tasks"]


def test_restricted_texts_go_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_JUDGE_KEY", "a-key-of-some-length")
    job = scripted.job("http://127.0.0.1:1/v1")
    away = replace(job.judge.endpoint, base_url="https://judge.example/v1", price=Price(input=0.0, output=0.0))
    job = replace(job, judge=replace(job.judge, endpoint=away))
    with pytest.raises(RestrictedError, match="16 of the rows"):
        judging.run(job, samples(BASE, TUNED, restricted=True), tmp_path / "j.jsonl", lambda *at: None)
    assert not (tmp_path / "j.jsonl").exists()
    judging.check(job, 0)
    monkeypatch.delenv("TEST_JUDGE_KEY")
    with pytest.raises(ValueError, match="TEST_JUDGE_KEY"):
        judging.check(job, 0)


def test_a_limit_draws_the_same_items_for_all_and_a_larger_one_adds_to_them():
    many = samples(["a"] * 30, ["b"] * 30)
    few = chosen(scripted.job("http://127.0.0.1:1/v1", limit=5), many)["meqsum"]
    more = chosen(scripted.job("http://127.0.0.1:1/v1", limit=9), many)["meqsum"]
    assert list(few) == list(more)[:5]
    assert len(more) == 9
    assert all(set(row) == {"base", "tuned"} and row["base"].id == id == row["tuned"].id for id, row in few.items())
    turned = {model: {"meqsum": some["meqsum"][::-1]} for model, some in many.items()}
    assert list(chosen(scripted.job("http://127.0.0.1:1/v1", limit=5), turned)["meqsum"]) == list(few)


def test_other_items_are_no_comparison():
    with pytest.raises(ValueError, match="meqsum: two runs on different items"):
        chosen(scripted.job("http://127.0.0.1:1/v1"), samples(["a"], ["a", "b"]))


def test_which_tasks_are_judged():
    url = "http://127.0.0.1:1/v1"
    scored = ["medqa", "meqsum", "mts_dialog"]
    assert judged(scripted.job(url), scored) == ["meqsum", "mts_dialog"]
    assert judged(scripted.job(url, tasks=("meqsum",)), scored) == ["meqsum"]


def test_canaries_vary_and_ask():
    drawn = [canaries.canary(number) for number in range(40)]
    assert len({(one.kind, one.ask) for one in drawn[:20]}) == 20
    assert len({one.answer for one in drawn}) == 40
    assert {one.kind for one in drawn[:5]} == set(canaries.BAD)
    assert all(one.answer.endswith(canaries.ASKS[one.ask]) for one in drawn)
