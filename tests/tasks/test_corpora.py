"""The task tables, and every row of every real corpus that is at hand."""

from collections import Counter

import pytest
from upath import UPath

from bioinstruct_jax.tasks import table
from bioinstruct_jax.tasks.own_instructions import OWN_INSTRUCTION as OWN
from bioinstruct_jax.tasks.task import CATEGORIES, LICENCES

TASKS = [task for task in table.TASKS.values() if task.family.name != "entities"]  # those: test_entities.py
RESTRICTED = {
    "bioasq_yes_no",
    "coreference",
    "i2b2_2010_relations",
    "mednli",
    "medication_status",
    "own_instructions_restricted",
    "own_questions_restricted",
    "patient_questions_csv",
    "patient_questions_jsonl",
}
COUNTS = {  # of every split whose file was counted
    ("chemprot_positives", "train"): 4169,
    ("chemprot_positives", "dev"): 2427,
    ("chemprot_positives", "test"): 3469,
    ("gad", "train"): 4796,
    ("gad", "test"): 534,
    ("medqa", "test"): 1273,
    ("medmcqa", "dev"): 4183,
    ("mmlu_anatomy", "test"): 135,
    ("mmlu_clinical_knowledge", "test"): 265,
    ("mmlu_college_biology", "test"): 144,
    ("mmlu_medical_genetics", "test"): 100,
    ("pubmedqa", "train"): 500,
    ("pubmedqa", "test"): 500,
    ("medquad", "train"): 16407,
    ("meqsum", "train"): 1000,
    ("mts_dialog", "train"): 1201,
    ("mts_dialog", "dev"): 100,
    ("mts_dialog", "test"): 200,
    ("aci_bench", "train"): 67,
    ("aci_bench", "dev"): 20,
    ("aci_bench", "test"): 40,
}
IRREVERSIBLE: dict[tuple[str, str, str], int] = {}  # (task, split, format): rows whose gold does not come back


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_says_all_that_others_follow_from(task):
    assert task.licence.kind in LICENCES
    assert (task.licence.kind == "restricted") == (task.name in RESTRICTED)
    assert task.licence.obtain
    assert task.family.category in CATEGORIES
    assert task.splits
    assert len({split.name for split in task.splits}) == len(task.splits)
    assert task.negative in (None, *task.labels)
    assert len(task.meanings) in (0, len(task.labels))
    assert {figure.split for figure in task.figures} <= {split.name for split in task.splits}
    assert task.tried == any((task.name, split.name) in COUNTS for split in task.splits)
    for split in task.splits:
        assert split.count == COUNTS.get((task.name, split.name))


def test_names_are_unique_among_all_tasks():
    # Mutation: two tasks of one name, of which the table would keep the second.
    assert sum(len(module.TASKS) for module in table._MODULES) == len(table.TASKS) > len(TASKS) > 20


@pytest.mark.parametrize("task", [task for task in TASKS if task.family is not OWN], ids=lambda task: task.name)
def test_eight_wordings_or_more_can_be_filled(task):
    # Mutation: {subjects} in a wording.
    wordings = task.family.wordings
    assert len(set(wordings)) == len(wordings) >= 8
    for wording in wordings:
        assert "{subject}" not in wording or task.subject
        filled = wording.format(subject=task.subject)
        assert "{" not in filled
        assert filled == filled.strip()
        assert filled[-1] in ".?"


@pytest.mark.parametrize(
    ("task", "split"),
    [(task, split) for task in TASKS for split in task.splits if split.count],
    ids=lambda one: one.name,
)
def test_every_row_of_the_corpora_at_hand_comes_back(data_folder, task, split):
    # lm-eval#3942: raw files, no scripts of the hub.
    # Mutations: GAD's labels swapped in `parse` alone; `cop` counted from 0; a letter off by one.
    lost: Counter[tuple[str, str, str]] = Counter()
    ids, rows = set(), 0
    for item in task.items(UPath(data_folder), split.name):
        rows += 1
        ids.add(item.id)
        for format in task.family.formats:
            asked, output = task.family.render(item, task, format)
            assert asked.strip()
            assert output.strip()
            answer = task.family.parse(output, item, task, format)
            if answer.gold != task.family.gold(item) or answer.problems:
                lost[task.name, split.name, format] += 1
    assert rows == len(ids) == split.count
    assert lost == {key: count for key, count in IRREVERSIBLE.items() if key[:2] == (task.name, split.name)}


@pytest.mark.parametrize(
    ("name", "split", "counts"),
    [
        ("gad", "test", {"associated": 281, "not associated": 253}),
        ("gad", "train", {"associated": 2520, "not associated": 2276}),
        ("medqa", "test", {"A": 353, "B": 309, "C": 346, "D": 265}),
        ("medmcqa", "dev", {"A": 1348, "B": 1085, "C": 925, "D": 825}),
        ("pubmedqa", "test", {"yes": 276, "no": 169, "maybe": 55}),
    ],
)
def test_labels_are_as_often_as_in_the_publishers_files(data_folder, name, split, counts):
    # Mutations: 1 = "not associated" in GAD; `cop` counted from 0; the 500 training abstracts for the test ids.
    task = next(task for task in TASKS if task.name == name)
    found = Counter(task.family.gold(item) for item in task.items(UPath(data_folder), split))
    assert found == counts


def test_a_missing_corpus_says_where_it_is_to_be_had(tmp_path):
    task = next(task for task in TASKS if task.name == "mednli")
    with pytest.raises(FileNotFoundError, match=r"mli_test_v1\.jsonl is missing.*restricted.*physionet\.org"):
        next(task.items(UPath(tmp_path), "test"))
