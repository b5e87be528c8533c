"""Shots: never the item, seeded, balanced on request."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation import shots
from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.table import TASKS

MEDQA, GENETICS = TASKS["medqa"], TASKS["mmlu_medical_genetics"]


def _item(number: int, answer: int = 0, text: str = "") -> Choice:
    return Choice(f"test:{number}", text or f"Question {number}?", ("w", "x", "y", "z"), answer)


ANSWERS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


@given(ANSWERS, st.data())
@settings(max_examples=60)
def test_shots_are_different_items_and_never_the_item(answers, data):
    # lm-eval#3978. Mutations: the item not left out, one place drawn twice, the seed not hashed.
    items = [_item(number, answer) for number, answer in enumerate(answers)]
    item = data.draw(st.sampled_from(items))
    count, seed = data.draw(st.integers(0, len(items) - 1)), data.draw(st.integers(0, 3))
    drawn = shots.draw(shots.pool(MEDQA, items), item, count, seed=seed)
    assert len({shot.id for shot in drawn}) == count
    assert item not in drawn
    assert drawn == shots.draw(shots.pool(MEDQA, items), item, count, seed=seed)


@given(ANSWERS, st.data())
@settings(max_examples=60)
def test_balanced_shots_have_each_label_as_often(answers, data):
    # Mutation: drawn from the whole pool. Three of each label are added, so that five shots are always there.
    items = [_item(number, answer) for number, answer in enumerate([*answers, *(0, 1, 2, 3) * 3])]
    item, count = data.draw(st.sampled_from(items)), data.draw(st.integers(0, 8))
    drawn = shots.draw(shots.pool(MEDQA, items), item, count, balanced=True)
    times = Counter(shot.answer for shot in drawn)
    assert len({shot.id for shot in drawn}) == count
    assert item not in drawn
    assert max(times.values(), default=0) - min((times[answer] for answer in range(4)), default=0) <= 1


def test_every_item_is_drawn_as_often_and_every_order_of_labels():
    # Mutations: Fisher and Yates' shuffle that does not move, labels in the order of the task, shots not mixed.
    pool = shots.pool(MEDQA, [_item(number, number % 4) for number in range(12)])
    asked = [_item(100 + number) for number in range(3000)]
    drawn = Counter(shot.id for item in asked for shot in shots.draw(pool, item, 3))
    assert min(drawn.values()) > 650
    assert max(drawn.values()) < 850
    for place in (0, 3):
        first = Counter(shots.draw(pool, item, 4, balanced=True)[place].answer for item in asked)
        assert min(first[answer] for answer in range(4)) > 650
    extra = Counter(shots.draw(pool, item, 1, balanced=True)[0].answer for item in asked)
    assert min(extra[answer] for answer in range(4)) > 650
    fives = [shots.draw(pool, item, 5, balanced=True) for item in asked]
    assert 200 < sum(five[0].answer == five[4].answer for five in fives) < 400  # one pair of ten


def test_another_seed_draws_others():
    pool = shots.pool(MEDQA, [_item(number) for number in range(50)])
    assert shots.draw(pool, _item(99), 5, seed=1) != shots.draw(pool, _item(99), 5, seed=2)
    assert shots.draw(pool, _item(99), 5) != shots.draw(pool, _item(98), 5)


def test_the_item_s_text_under_another_id_is_no_shot_either():
    # Mutation: left out by id alone.
    pool = shots.pool(MEDQA, [_item(1, text="The same?"), _item(2), _item(3, text="The same?"), _item(4)])
    drawn = shots.draw(pool, _item(9, text="The same?"), 2)
    assert {shot.id for shot in drawn} == {"test:2", "test:4"}
    assert {shot.question for shot in shots.draw(pool, _item(8), 3)} == {"The same?", "Question 2?", "Question 4?"}


def test_mmlu_shows_the_first_of_its_development_split():
    pool = shots.pool(GENETICS, [_item(number, number % 4) for number in range(5)])
    assert [shot.id for shot in shots.draw(pool, _item(9), 3, seed=7)] == ["test:0", "test:1", "test:2"]
    assert [shot.id for shot in shots.draw(pool, _item(0), 2)] == ["test:1", "test:2"]


def test_a_pool_that_is_too_small_is_told():
    pool = shots.pool(MEDQA, [_item(number) for number in range(3)])
    with pytest.raises(ValueError, match=r"medqa, item 'test:0': 3 shots are wanted, but the pool of 3 has no other"):
        shots.draw(pool, _item(0), 3)
    with pytest.raises(ValueError, match=r"3 shots, balanced, .* no other item with the answer 'A' after 2"):
        shots.draw(pool, _item(0), 3, balanced=True)
    with pytest.raises(ValueError, match="-1 shots: needs 0 or more"):
        shots.draw(pool, _item(0), -1)
    with pytest.raises(ValueError, match="2 shots, balanced, are wanted, but the pool of 0 has no other item after 0"):
        shots.draw(shots.pool(MEDQA, []), _item(0), 2, balanced=True)
