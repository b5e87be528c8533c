"""Who is asked and what is shown depends on the number of the request alone."""

from collections import Counter

import pytest

from bioinstruct_jax.generation.draw import draw
from bioinstruct_jax.generation.seeds import seeds as shipped
from tests.generation.jobs import TEACHER, job, seeds


def test_a_draw_depends_on_seed_and_number_alone():
    # Mutation: `random.random()` in the draw, or the number left out of its hash.
    rows = shipped(job())
    drawn = [draw(job(), rows, number) for number in range(50)]
    assert drawn == [draw(job(target=999), rows, number) for number in range(50)]
    assert drawn != [draw(job(seed=1), rows, number) for number in range(50)]
    assert len({one.seeds for one in drawn}) > 45


def test_draws_are_those_of_the_first_release():
    # Mutation: any other hash; journals of users would no longer be found.
    assert [[seed.id for seed in draw(job(), seeds(), number).seeds] for number in range(2)] == GOLDEN


GOLDEN = [["seed_0", "seed_4", "seed_1"], ["seed_0", "seed_2", "seed_4"]]


def test_every_seed_has_its_turn_and_no_task_stands_twice_in_a_request():
    # Mutation: drawing with replacement.
    rows = shipped(job())
    counts: Counter[str] = Counter()
    for number in range(2000):
        shown = draw(job(), rows, number).seeds
        tasks = [seed.id.split(".")[0] for seed in shown]
        assert len(set(tasks)) == 3
        counts.update(seed.id for seed in shown)
    assert set(counts) == {row.id for row in rows}  # second instances too
    expected = 2000 * 3 / 80
    by_task = Counter()
    for id, times in counts.items():
        by_task[id.split(".")[0]] += times
    assert all(0.5 * expected < times < 1.6 * expected for times in by_task.values())  # 5 standard deviations


def test_teachers_are_mixed_by_weight():
    # Mutation: weights ignored.
    mixed = job(teachers=({**TEACHER, "weight": 3.0}, {**TEACHER, "name": "two", "weight": 1.0}))
    counts = Counter(draw(mixed, seeds(), number).teacher.name for number in range(2000))
    assert counts["one"] == pytest.approx(1500, abs=100)
