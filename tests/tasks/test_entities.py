"""The family and its table of corpora; the corpora themselves where BIOINSTRUCT_DATA has them."""

import re
from collections import Counter

import pytest
from upath import UPath

from bioinstruct_jax.tasks.entities import ENTITIES, inexpressible
from bioinstruct_jax.tasks.entity_corpora import TASKS
from bioinstruct_jax.tasks.task import CATEGORIES, LICENCES, CorpusError

TASK = {task.name: task for task in TASKS}
TRIED = [(task.name, split.name) for task in TASKS if task.tried for split in task.splits]

# Counted on the publishers' files: sentences; mentions; sentences whose JSON has an index; those of them that would be
# read otherwise without it, because a mention's words stand before it where they are none.
COUNTS = {
    ("ncbi_disease", "train"): (5432, 5145, 311, 50),
    ("ncbi_disease", "dev"): (923, 787, 50, 10),
    ("ncbi_disease", "test"): (940, 960, 51, 8),
    ("bc5cdr_disease", "train"): (4560, 4182, 148, 14),
    ("bc5cdr_disease", "dev"): (4581, 4246, 150, 8),
    ("bc5cdr_disease", "test"): (4797, 4424, 160, 11),
    ("bc5cdr_chem", "train"): (4560, 5203, 317, 9),
    ("bc5cdr_chem", "dev"): (4581, 5347, 313, 9),
    ("bc5cdr_chem", "test"): (4797, 5385, 338, 7),
    ("bc5cdr", "train"): (4560, 9385, 438, 23),
    ("bc5cdr", "dev"): (4581, 9593, 435, 17),
    ("bc5cdr", "test"): (4797, 9809, 459, 18),
}


def test_the_table():
    # Mutations: two tasks of one name; a restricted corpus called open; tried for a corpus that is not at hand.
    assert len(TASK) == len(TASKS)
    for task in TASKS:
        assert task.family is ENTITIES
        assert task.licence.kind in LICENCES
        assert task.licence.obtain
        assert task.subject
        assert task.labels
        assert len({split.name for split in task.splits}) == len(task.splits)
        assert {figure.split for figure in task.figures} <= {split.name for split in task.splits} | {"unknown"}
        assert all(0 < figure.value < 100 for figure in task.figures)
    assert {task.name for task in TASKS if task.licence.kind == "restricted"} == {
        "i2b2_2010_concepts",
        "i2b2_2012_events",
    }
    assert {name for name, _ in TRIED} == {"ncbi_disease", "bc5cdr_disease", "bc5cdr_chem", "bc5cdr"}
    assert [figure.value for figure in TASK["bc2gm"].figures] == [87.62, 76.46, 79.12]
    assert [figure.value for figure in TASK["i2b2_2012_events"].figures] == [82.98, 80.64]


def test_wordings():
    # Mutations: a wording that names no subject; the answer's form left out of what is said.
    assert ENTITIES.category in CATEGORIES
    assert len(set(ENTITIES.wordings)) == len(ENTITIES.wordings) >= 8
    for wording in ENTITIES.wordings:
        assert re.findall(r"\{(\w*)\}", wording) == ["subject"]
    drawn = Counter(ENTITIES.wording(1, f"train:{number}") for number in range(1000))  # mutation: not of the id
    assert len(drawn) == len(ENTITIES.wordings)
    assert min(drawn.values()) > 50
    for task in TASKS:
        for format in ENTITIES.formats:
            said = ENTITIES.form(task, format)
            assert (len(task.labels) > 1) == all(label in said for label in task.labels)
    with pytest.raises(ValueError, match="iob or json"):
        ENTITIES.form(TASK["bc5cdr"], "xml")


@pytest.mark.parametrize(("name", "split"), TRIED)
def test_every_row_of_the_corpora_at_hand(data_folder, name, split):
    # Mutations: those of test_gold_comes_back in test_answers.py.
    task = TASK[name]
    items = list(task.items(UPath(data_folder), split))
    assert (len(items), sum(len(item.mentions) for item in items)) == COUNTS[name, split][:2]
    assert task.split(split).count == len(items)
    assert len({item.id for item in items}) == len(items)
    exceptions: Counter[str] = Counter()
    for item in items:
        exceptions.update(item.exceptions)
        for format in ENTITIES.formats:
            shown, output = ENTITIES.render(item, task, format)
            assert shown == " ".join(item.tokens)
            exceptions[format] += len(inexpressible(item, format))
            answer = ENTITIES.parse(output, item, task, format)
            assert (answer.gold, answer.problems) == (item.mentions, {})
    assert +exceptions == {}  # nothing nests, overlaps or is discontinuous in these copies


@pytest.mark.parametrize(("name", "split"), TRIED)
def test_what_would_not_come_back_without_an_index(data_folder, name, split):
    task, indexed, wrong = TASK[name], 0, 0
    for item in task.items(UPath(data_folder), split):
        output = ENTITIES.render(item, task, "json")[1]
        if '"occurrence":' in output:
            indexed += 1
            bare = re.sub(r',"occurrence":\d+', "", output)
            wrong += ENTITIES.parse(bare, item, task, "json").gold != item.mentions
    assert (indexed, wrong) == COUNTS[name, split][2:]


def _layout(put, name, split, contents):
    task = TASK[name]
    for file, content in zip(task.split(split).files, contents, strict=True):
        put(f"{task.folder}/{file}", content)
    return task


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("bc2gm", "TP53\tB-GENE\nmutations\tO\n", ["Gene"]),
        ("bc4chemd", "aspirin\tB-Chemical\n", ["Chemical"]),
        ("linnaeus", "mice\tB\nand\tO\nrats\tB-Species\n", ["Species", "Species"]),
        ("anatem", "left\tB-Anatomy\nventricle\tI-Anatomy\n", ["Anatomy"]),
        ("anatem", "left\tB-Organ\nventricle\tB-Cell\n", ["Anatomy", "Anatomy"]),
        ("jnlpba", "IL-2\tB-DNA\ngene\tI-DNA\nT\tB-cell_type\n", ["Entity", "Entity"]),
        ("jnlpba", "IL-2\tB\ngene\tI\n", ["Entity"]),
    ],
)
def test_corpora_in_columns(put, tmp_path, name, content, labels):
    task = _layout(put, name, "train", [content])
    (item,) = task.items(UPath(tmp_path), "train")
    assert [mention.type for mention in item.mentions] == labels
    assert ENTITIES.parse(ENTITIES.render(item, task, "iob")[1], item, task, "iob").gold == item.mentions


def test_types_of_jnlpba(put, tmp_path):
    content = "###MEDLINE:95369245\n\nIL-2\tB-DNA\ngene\tI-DNA\nT\tB-cell_type\ncells\tI-cell_type\n"
    task = _layout(put, "jnlpba_types", "train", [content])
    (item,) = task.items(UPath(tmp_path), "train")
    assert [mention.type for mention in item.mentions] == ["DNA", "cell_type"]
    _layout(put, "jnlpba_types", "test", ["IL-2\tB\n"])
    with pytest.raises(CorpusError, match="unknown tag 'B'"):
        list(task.items(UPath(tmp_path), "test"))


def test_both_of_bc5cdr(put, tmp_path):
    # Mutations: mentions of the first copy only; no comparison of tokens; no look at what is left of the second copy.
    diseases = "Lithium\tO\ntremor\tB-Disease\n\nWell\tO\n"
    chemicals = "Lithium\tB-Chemical\ntremor\tO\n\nWell\tO\n"
    task = _layout(put, "bc5cdr", "train", [diseases, chemicals])
    first, second = task.items(UPath(tmp_path), "train")
    assert first.mentions == ((0, 1, "Chemical"), (1, 2, "Disease"))
    assert second.mentions == ()
    for one, two, reason in (
        (diseases, chemicals.replace("Well", "Ill"), "sentence 2 is not that of"),
        (diseases, chemicals[: chemicals.index("\n\n") + 1], "sentence 2 is not that of"),
        (diseases[: diseases.index("\n\n") + 1], chemicals, "more sentences than the 1"),
    ):
        _layout(put, "bc5cdr", "train", [one, two])
        with pytest.raises(CorpusError, match=reason):
            list(task.items(UPath(tmp_path), "train"))


def test_the_other_publishers_files(put, tmp_path):
    text = "Familial gout"
    pubtator = f"1|t|{text}\n1|a|\n1\t0\t13\t{text}\tSpecificDisease\tD0\n1\t9\t13\tgout\tModifier\tD0\n"
    task = _layout(put, "ncbi_disease_abstracts", "dev", [pubtator])
    (item,) = task.items(UPath(tmp_path), "dev")
    assert item.mentions == ((0, 2, "Disease"), (1, 2, "Disease"))
    assert inexpressible(item, "iob") == ((1, 2, "Disease"),)
    assert inexpressible(item, "json") == ()
    task = _layout(put, "bc5cdr_abstracts", "test", [pubtator.replace("SpecificDisease", "Disease")])
    with pytest.raises(CorpusError, match="unknown type 'Modifier'"):
        list(task.items(UPath(tmp_path), "test"))
    put("anatem/standoff/train/1.txt", "Left kidney")
    put("anatem/standoff/train/1.ann", "T1\tOrgan 0 11\tLeft kidney\n")
    (item,) = TASK["anatem_types"].items(UPath(tmp_path), "train")
    assert item.mentions == ((0, 2, "Organ"),)
    put(
        "bc4chemd/training.bioc.xml",
        "<collection><document><id>1</id><passage><offset>0</offset><text>Colchicine</text><annotation id='1'>"
        "<infon key='type'>TRIVIAL</infon><location offset='0' length='10'/><text>Colchicine</text></annotation>"
        "</passage></document></collection>",
    )
    (item,) = TASK["bc4chemd_abstracts"].items(UPath(tmp_path), "train")
    assert item.mentions == ((0, 1, "Chemical"),)


def test_a_split_that_is_not_there():
    with pytest.raises(ValueError, match="jnlpba_types has no split 'dev'; it has train, test"):
        TASK["jnlpba_types"].split("dev")
