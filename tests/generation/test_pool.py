"""What the pool accepts: in order, once, with a reason for all else, whenever the answers came."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.api.request import Reply
from bioinstruct_jax.generation.draw import draw
from bioinstruct_jax.generation.pool import Answer, Pool
from bioinstruct_jax.similarity.rouge import rouge_l
from tests.generation.jobs import item, job, reply, seeds

NOTE = "A 54-year-old man has had a productive cough and fever for three days; he takes ramipril and denies chest pain."
WORDS = (
    "List the medicines of this patient in alphabetical order.",
    "Write a short discharge letter about the admission.",
    "Which symptom points to pneumonia rather than bronchitis?",
    "Classify the urgency of the referral as routine or urgent.",
    "Summarise the radiology report for the family.",
    "Calculate the creatinine clearance from the values given.",
    "Translate the abbreviations of the ward round into words.",
    "Explain why warfarin needs regular blood tests.",
)


def taken(made, *replies, **more):
    pool = Pool(made, seeds(), prompt="p", held_out=more.get("held_out"))
    for number, one in enumerate(replies):
        pool.take(draw(made, seeds(), number), f"tasks/{number:06d}", one)
    return pool


def test_new_items_are_accepted_with_all_that_is_known_of_them():
    pool = taken(job(), reply(item(WORDS[0], NOTE, "ramipril"), item(WORDS[1], NOTE, "Dear colleague, all is well.")))
    first, second = pool.accepted
    assert (first.id, first.instruction, first.input, first.output) == ("000000.000", WORDS[0], NOTE, "ramipril")
    assert (first.teacher, first.model, first.prompt, first.request) == ("one", "m1", "p", "tasks/000000")
    assert first.seeds == tuple(seed.id for seed in draw(job(), seeds(), 0).seeds)
    assert first.answered_by == "one"
    earlier = [*seeds(), first]
    assert second.similarity == max(rouge_l(second.instruction, one.instruction) for one in earlier)
    assert second.nearest in {
        one.id for one in earlier if rouge_l(second.instruction, one.instruction) == second.similarity
    }


@pytest.mark.parametrize(
    ("items", "reasons"),
    [
        ([item(WORDS[0]), item(WORDS[0].upper())], {"duplicate": 1}),
        ([item(seeds()[0].instruction)], {"duplicate": 1}),
        ([item(WORDS[0]), item(WORDS[0].replace("this", "the"))], {"too_similar": 1}),
        ([item(words) for words in WORDS[:5]], {"surplus": 2}),
        ([item(WORDS[0], output="")], {"empty": 1}),
        ([{"input": NOTE}], {"malformed": 1}),
        ([item("Go")], {"too_short": 1}),
        ([item(WORDS[0], output="As an AI language model, I cannot know.")], None),
    ],
)
def test_what_is_left_out_has_its_reason(items, reasons):
    # Mutations: `>=` for `>` in surplus, seeds not compared, the order of the checks.
    pool = taken(job(), reply(*items))
    found = Counter(row.reason for row in pool.rejected)
    if reasons is None:
        assert found.total() == 1
        assert set(found) <= {"refusal", "self_reference"}
    else:
        assert found == reasons
    assert len(pool.accepted) + len(pool.rejected) == len(items)
    assert found == pool.reasons


def test_the_papers_rule_is_above_the_threshold():
    # 7 of 10 and 10 words in common: exactly 0.7, which is new. Mutation: at or above.
    ten = "a1 b2 c3 d4 e5 f6 g7 h8 i9 j10"
    near = "a1 b2 c3 d4 e5 f6 g7 k8 l9 m10"
    made = job(filters={"language": "any"})
    assert rouge_l(ten, near) == 0.7
    assert len(taken(made, reply(item(ten), item(near))).accepted) == 2


def test_rows_whose_texts_are_another_rows_are_left_out_where_it_is_asked_for():
    rows = reply(item(WORDS[0], NOTE, "ramipril"), item(WORDS[5], NOTE, "ramipril"), item(WORDS[3], "", "urgent"))
    assert len(taken(job(), rows).accepted) == 3
    strict = job(filters={"near_duplicates": True})
    assert [row.reason for row in taken(strict, rows).rejected] == ["near_duplicate"]
    # short answers without an input are no bodies. Mutation: LEAST_BODY = 0.
    yes = reply(item(WORDS[2], "", "yes"), item(WORDS[3], "", "yes"))
    assert len(taken(strict, yes).accepted) == 2


def test_a_reply_that_is_none_is_counted_and_takes_nothing_with_it():
    failed = Reply("tasks/000000", "", problem="given up: HTTP 500")
    pool = taken(job(), failed, reply(item(WORDS[0])))
    assert [row.id for row in pool.accepted] == ["000001.000"]
    assert pool.failed == {"given up: HTTP 500": 1}


def test_the_pool_ends_at_the_target_and_so_do_the_rejected_ones():
    # Mutation: rejected rows behind the last accepted one counted too.
    rows = [reply(item(WORDS[0]), item("Go"), item(WORDS[1])), reply(item("Go"), item(WORDS[2]), item(WORDS[3]))]
    pool = taken(job(target=2), *rows)
    assert pool.full
    assert [row.id for row in pool.accepted] == ["000000.000", "000000.002"]
    assert [row.id for row in pool.rejected] == ["000000.001"]
    assert [(point.number, point.accepted, point.rejected) for point in pool.points] == [(0, 2, 1)]


def test_barren_replies_are_counted_one_after_another():
    pool = taken(job(), reply(item("Go")), reply(item("Go")), reply(item(WORDS[0])), reply(item(WORDS[0])))
    assert pool.barren == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=4), min_size=1, max_size=6), st.integers(1, 9))
def test_counts_add_up_whatever_comes(answers, target):
    pool = taken(job(target=target), *(reply(*map(item, words)) for words in answers))
    seen = [f"{n:06d}.{k:03d}" for n, words in enumerate(answers) for k in range(max(len(words), 1))]
    ids = [row.id for row in pool.accepted] + [row.id for row in pool.rejected]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(seen)
    if not pool.full:
        assert sorted(ids) == seen
    if pool.points:
        assert (pool.points[-1].accepted, pool.points[-1].rejected) == (len(pool.accepted), len(pool.rejected))


def second(**more):
    return job(answers={"by": "second_pass"}, **more)


def test_in_the_second_pass_instructions_wait_for_their_outputs_in_order():
    made = second()
    pool = Pool(made, seeds(), prompt="p", held_out=None)
    found = pool.take(
        draw(made, seeds(), 0), "k", reply(item(WORDS[0], NOTE, ""), item(WORDS[1], NOTE, ""), item(WORDS[2], "", ""))
    )
    assert [one.row.instruction for one in found] == list(WORDS[:3])
    assert (pool.count, pool.waiting) == (0, 3)
    pool.settle(Answer(NOTE, "ramipril", "two"))
    pool.settle(Answer(reason="no_answer", detail="cut off"))
    pool.settle(Answer("", "I'm sorry, but I cannot help with that.", "two"))
    assert [(row.output, row.answered_by) for row in pool.accepted] == [("ramipril", "two")]
    assert [row.reason for row in pool.rejected] == ["no_answer", "refusal"]


class Known:
    """Held-out rows that meet any text that holds a word."""

    def __init__(self, word):
        self.word = word

    def find(self, instruction, input, output):
        from bioinstruct_jax.generation.contamination import Met

        meets = self.word in f"{instruction}{input}{output}"
        return [Met("medqa", "medqa/test/7", "13-gram", 0.5), Met("medqa", "medqa/test/9", "13-gram", 0.4)] * meets


def test_what_evaluation_would_meet_again_is_left_out_and_reported_by_task():
    # Mutation: contaminated rows put into the index of what is new.
    rows = reply(item(WORDS[0], NOTE, "ramipril"), item(WORDS[0], "", "nothing"))
    pool = taken(job(), rows, held_out=Known("ramipril"))
    assert [row.reason for row in pool.rejected] == ["contaminated"]
    assert pool.rejected[0].detail == "13-gram 0.5000 with medqa/test/7 of medqa"
    assert [row.input for row in pool.accepted] == [""]
    assert pool.contaminated == {"medqa": {"13-gram": 1}}
    report = replace(job().decontamination, action="report")
    kept = taken(replace(job(), decontamination=report), rows, held_out=Known("ramipril"))
    assert kept.contaminated == {"medqa": {"13-gram": 1}}
    assert [row.reason for row in kept.rejected] == ["duplicate"]


def test_a_second_pass_that_brings_nothing_ends_and_what_waits_is_told():
    # Mutations: patience counted by new instructions instead of accepted ones; candidates that wait forgotten.
    made = second(patience=2)
    pool = Pool(made, seeds(), prompt="p", held_out=None)
    for number, pair in enumerate((WORDS[0:2], WORDS[2:4], WORDS[4:6])):
        pool.take(draw(made, seeds(), number), f"tasks/{number:06d}", reply(*(item(words, NOTE, "") for words in pair)))
    assert (pool.seen, pool.waiting, pool.ended) == (6, 6, False)
    for _ in range(3):
        pool.settle(Answer(reason="no_answer", detail="cut off"))
    assert (pool.seen, pool.waiting, len(pool.rejected), pool.ended) == (6, 3, 3, False)
    pool.settle(Answer(reason="no_answer", detail="cut off"))
    assert pool.ended
    assert not pool.full
    assert (pool.seen, pool.waiting, len(pool.rejected), pool.barren) == (4, 0, 4, 2)  # the third does not count


def test_one_accepted_row_gives_patience_back():
    made = second(patience=2)
    pool = Pool(made, seeds(), prompt="p", held_out=None)
    for number in range(3):
        pool.take(draw(made, seeds(), number), f"tasks/{number:06d}", reply(item(WORDS[number], NOTE, "")))
    pool.settle(Answer(reason="no_answer", detail="cut off"))
    pool.settle(Answer(NOTE, "ramipril", "one"))
    pool.settle(Answer(reason="no_answer", detail="cut off"))
    assert (pool.barren, pool.ended) == (1, False)
