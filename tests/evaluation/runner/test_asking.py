"""Asking block by block: order, what is kept, what an interruption costs."""

from types import SimpleNamespace

import pytest

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.language_model import CompletionRequest
from bioinstruct_jax.evaluation.runner import asking, cache
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.reporting.progress import Progress


class Echo:
    """Answers with the question's id, in no order; dies after `most` answers."""

    name, fingerprint, keeps = "echo", "f" * 64, True

    def __init__(self, most: int | None = None) -> None:
        self.asked: list[str] = []
        self.most = most

    def requests(self, task, protocol, question, most):
        return CompletionRequest(question.id, most)

    def answer(self, task, protocol, asked, put):
        for place in reversed(range(len(asked))):
            if len(self.asked) == self.most:
                raise KeyboardInterrupt
            question, request = asked[place]
            assert request.prompt == question.id
            self.asked.append(question.id)
            put(place, Output(text=f"of {question.id}"))


def _questions(count):
    for number in range(count):
        yield Question(f"t/test/{number}", "d", None, Record(f"{number}", "i", "x", "y"), (), "text")


def _all(model, kept, count=10, most=64):
    with Progress(live=False) as progress:
        return list(
            asking.outputs(
                model,
                SimpleNamespace(name="t"),
                "generated",
                _questions(count),
                most=most,
                kept=kept,
                progress=progress,
                rate=asking.Rate(count),
            )
        )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(asking, "BLOCK", 4)


def test_outputs_stand_with_their_questions_in_order():
    # Mutation: outputs in the order in which they came.
    found = _all(Echo(), None)
    assert [question.id for question, _, _ in found] == [f"t/test/{number}" for number in range(10)]
    assert all(output.text == f"of {question.id}" for question, output, _ in found)
    assert found[3][2] == CompletionRequest("t/test/3", 64)


def test_an_interrupted_run_goes_on_and_nothing_is_asked_twice(tmp_path):
    # Mutation: outputs are put when their block is whole.
    dying = Echo(most=6)
    with cache.opened(tmp_path / "c.jsonl") as kept, pytest.raises(KeyboardInterrupt):
        _all(dying, kept)
    again = Echo()
    with cache.opened(tmp_path / "c.jsonl") as kept:
        found = _all(again, kept)
    assert len(dying.asked) == 6
    assert sorted(dying.asked + again.asked) == sorted(question.id for question, _, _ in found)
    assert [output for _, output, _ in found] == [output for _, output, _ in _all(Echo(), None)]


def test_other_settings_are_other_questions(tmp_path):
    # Mutation: a key without the tokens that an answer may have.
    with cache.opened(tmp_path / "c.jsonl") as kept:
        _all(Echo(), kept)
        longer, same = Echo(), Echo()
        _all(longer, kept, most=65)
        _all(same, kept)
    assert (len(longer.asked), len(same.asked)) == (10, 0)


def test_an_answer_has_room_for_half_as_much_again_as_the_longest():
    assert asking.most_tokens(1) == asking.FLOOR
    assert asking.most_tokens(3000) == 1516  # 3,000 characters are 1,000 tokens or fewer


def test_a_stop_that_was_swallowed_ends_it_at_the_next_answer(tmp_path):
    # Mutation: `Rate.add` that does not check.
    def check():
        raise KeyboardInterrupt

    model = Echo()
    with Progress(live=False) as progress, pytest.raises(KeyboardInterrupt):
        list(
            asking.outputs(
                model,
                SimpleNamespace(name="t"),
                "generated",
                _questions(10),
                most=64,
                kept=None,
                progress=progress,
                rate=asking.Rate(10, check),
            )
        )
    assert len(model.asked) <= 1
