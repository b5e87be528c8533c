"""What is asked: the same items for every model, in the words that training has."""

from dataclasses import replace

import pytest
from upath import UPath

from bioinstruct_jax.data import prompts, tokenizer
from bioinstruct_jax.evaluation import choice_prompts
from bioinstruct_jax.evaluation.encoding import encode_pair
from bioinstruct_jax.evaluation.runner import questions as module
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model, Shots
from bioinstruct_jax.preparation import rows
from bioinstruct_jax.tasks.table import TASKS

MODELS = (Model(model="m"),)
QUESTIONS = """\
Which vitamin is needed to absorb calcium?,vitamin A,vitamin C,vitamin D,vitamin K,C
Which organ makes insulin?,liver,pancreas,spleen,kidney,B
Which bone is in the thigh?,femur,tibia,ulna,radius,A
Which cells carry oxygen?,platelets,neutrophils,lymphocytes,erythrocytes,D
Which gland makes thyroxine?,adrenal,pituitary,thyroid,parathyroid,C
"""


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "mmlu").mkdir()
    (tmp_path / "mmlu" / "anatomy_test.csv").write_text(QUESTIONS)
    return UPath(tmp_path)


def _job(**settings):
    return Evaluate(out="out", tasks=("mmlu_anatomy",), models=MODELS, **settings)


def _asked(corpora, pool=None, **settings):
    return list(module.questions(_job(**settings), TASKS["mmlu_anatomy"], "test", corpora, pool))


def test_a_question_is_the_row_that_prepare_makes(corpora):
    # Mutation: another seed for the wording than the job's.
    task = TASKS["mmlu_anatomy"]
    made = [one.sample for one in rows.rendered(task, corpora, "test", seed=3, format=None)]
    asked = [one.record for one in _asked(corpora, seed=3)]
    assert [(row.id, row.instruction, row.input, row.output) for row in asked] == [
        (row.id, row.instruction, row.input, row.output) for row in made
    ]


def test_a_limit_draws_the_same_items_every_time_and_others_by_another_seed(corpora):
    # Mutation: the first items instead of drawn ones.
    drawn = {tuple(one.id for one in _asked(corpora, limit=3, seed=seed)) for seed in range(20)}
    assert len(drawn) > 5
    assert all(len(ids) == 3 for ids in drawn)
    assert [one.id for one in _asked(corpora, limit=3)] == [one.id for one in _asked(corpora, limit=3)]
    assert len(_asked(corpora, limit=99)) == 5


def test_shots_are_solved_and_never_the_item_itself(corpora):
    # lm-eval#3978. Mutation: the pool with the item in it is drawn from as it stands.
    pool = [one.item for one in _asked(corpora)]
    for one in _asked(corpora, pool, shots=Shots(count=4)):
        assert len({shot.id for shot in one.shots}) == 4
        assert one.item.id not in {shot.id for shot in one.shots}
        assert one.record.input.count("Question: ") == 5
        assert one.record.input.endswith(
            TASKS["mmlu_anatomy"].family.render(one.item, TASKS["mmlu_anatomy"], "letter")[0]
        )


@pytest.mark.parametrize("template", ["alpaca", "medtuned"])
def test_ranked_answers_are_the_tokens_that_training_has(corpora, template):
    # Mutation: the choice without the blank that medtuned writes before an answer.
    words = tokenizer.load("tiny")
    form = prompts.template(template, words)
    for one in _asked(corpora):
        requests = module.score_requests(one, TASKS["mmlu_anatomy"], "likelihood", form)
        gold = requests[TASKS["mmlu_anatomy"].labels.index(one.record.output)]
        context, answer = encode_pair(gold.context, gold.continuation, words, bos=False)
        trained = prompts.render(one.record, form)
        assert context[0] == words.convert_tokens_to_ids(trained[0].text)
        text = "".join(piece.text for piece in trained if piece.target and not piece.control)
        assert words.decode(answer).strip() == text.strip() == one.record.output
        assert gold.continuation == text.rstrip()


def test_the_harness_is_asked_in_its_own_words(corpora):
    one = _asked(corpora)[0]
    made = module.score_requests(one, TASKS["mmlu_anatomy"], "harness", None)
    assert made == choice_prompts.prompt(TASKS["mmlu_anatomy"], one.item).requests()
    assert [request.continuation for request in made] == [" A", " B", " C", " D"]


def test_protocols_are_those_that_suit_the_task():
    job = _job()
    assert module.protocols(job, TASKS["medqa"]) == ["harness", "likelihood", "generated"]
    assert module.protocols(job, TASKS["mednli"]) == ["likelihood", "generated"]
    assert module.protocols(job, TASKS["ncbi_disease"]) == ["generated"]
    assert module.protocols(_job(protocols=("harness",)), TASKS["ncbi_disease"]) == []


def test_documents_of_restricted_items_say_nothing():
    # Mutation: the publisher's name of the document.
    from bioinstruct_jax.tasks.relations import Pair

    pair = Pair("note 7 of J.D.:12", "<< aspirin >> for [[ pain ]]", "aspirin", "pain", "TrAP", "note 7 of J.D.")
    task = TASKS["i2b2_2010_relations"]
    other, seen = replace(pair, document="note 8 of J.D."), dict[str, int]()
    numbered = [module.document(one, task, "test", "row", seen) for one in (pair, other, pair)]
    assert numbered == [f"i2b2_2010_relations/test/document {number}" for number in (1, 2, 1)]
    assert module.document(pair, replace(task, licence=TASKS["gad"].licence), "test", "r", {}).endswith(
        "note 7 of J.D."
    )


def test_a_choice_is_ranked_among_the_items_own_options(corpora):
    one = _asked(corpora)[0]
    fewer = replace(one, item=replace(one.item, options=one.item.options[:3]))
    assert module.choices(fewer, TASKS["mmlu_anatomy"]) == ("A", "B", "C")
