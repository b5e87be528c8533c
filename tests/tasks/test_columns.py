import gzip

import pytest

from bioinstruct_jax.tasks.columns import read
from bioinstruct_jax.tasks.task import CorpusError

TYPES = {"disease": "Disease", "chemical": "Chemical"}
ROWS = [
    ("Lithium", "B-Chemical"),
    ("caused", "O"),
    ("nephrogenic", "B-Disease"),
    ("diabetes", "I-Disease"),
    ("insipidus", "I-Disease"),
    (".", "O"),
    None,
    ("Gout", "B-Disease"),
    ("arthritis", "B-Disease"),
    None,
]
FIRST = [(0, 1, "Chemical"), (2, 5, "Disease")]
SECOND = [(0, 1, "Disease"), (1, 2, "Disease")]


def _text(separator="\t", end="\n", rows=ROWS):
    return "".join((separator.join(row) if row else "") + end for row in rows)


@pytest.mark.parametrize(
    "content",
    [
        _text(),
        _text(" "),
        _text(end="\r\n"),
        "\ufeff" + _text(),
        _text()[:-2],  # no line end behind the last token
        "\n\n" + _text() + "\n",
        "-DOCSTART-\tO\n\n" + _text(),
        "###MEDLINE:12345678\n\n" + _text(),
        _text().replace("-Disease", "-disease"),
    ],
)
def test_the_same_sentences_in_every_layout(put, content):
    # Mutations: drop the BOM's removal; drop HEADS; split at blanks in a file with tabs; do not yield after the loop.
    items = list(read(put("train.tsv", content), TYPES))
    assert [list(item.mentions) for item in items] == [FIRST, SECOND]
    assert items[0].text == "Lithium caused nephrogenic diabetes insipidus ."
    assert [item.id for item in items] == ["train:1", "train:2"]


def test_compressed(put):
    assert len(list(read(put("train.tsv.gz", gzip.compress(_text().encode())), TYPES))) == 2


def test_iob1(put):
    # Mutation: take I after O for a continuation: the first mention is lost.
    rows = [("Gout", "I-Disease"), ("arthritis", "B-Disease"), ("of", "O"), ("lithium", "I-Chemical"), None]
    (item,) = read(put("train.tsv", _text(rows=rows)), TYPES, scheme="IOB1")
    assert item.mentions == ((0, 1, "Disease"), (1, 2, "Disease"), (3, 4, "Chemical"))


def test_four_columns_as_in_conll(put):
    rows = [("-DOCSTART-", "-X-", "O", "O"), None, ("Gout", "NNP", "B-NP", "I-Disease"), (".", ".", "O", "O")]
    (item,) = read(put("train.txt", _text(" ", rows=rows)), TYPES, scheme="IOB1", columns=4)
    assert (item.tokens, item.mentions) == (("Gout", "."), ((0, 1, "Disease"),))


def test_only_line_feeds_end_a_line(put):
    # Mutation: splitlines() in place of lines of bytes: the token is cut in two.
    (item,) = read(put("train.tsv", "a\u2028b\x85c\tB-Disease\n"), TYPES)
    assert item.tokens == ("a\u2028b\x85c",)


def test_tags_without_type(put):
    (item,) = read(put("train.tsv", "Gout\tB\nattack\tI\n"), {"": "Disease"})
    assert item.mentions == ((0, 2, "Disease"),)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("Gout\tB-Disease\tx\n", 1, "3 columns parted by tabs, not 2"),
        ("Gout\tO\n\nflares B-Disease\n", 3, "1 column parted by tabs, not 2"),
        ("Gout B-Disease x\n", 1, "3 columns parted by blanks, not 2"),
        ("Gout\tB-Disease\n\tO\n", 2, "an empty token"),
        ("Gout\tB-Gene\n", 1, "unknown tag 'B-Gene'; known: O, B-disease"),
        ("Gout\tS-Disease\n", 1, "the IOBES copy"),
        ("Gout\tB\n", 1, "unknown tag 'B'"),
        ("Gout\t\n", 1, "unknown tag ''"),
        ("Gout\tI-Disease\n", 1, "I-Disease follows O or the beginning of a sentence"),
        ("Gout\tB-Disease\n\nflares\tI-Disease\n", 3, "in IOB2 a mention begins with B"),
        ("Gout\tB-Disease\nflares\tO\nagain\tI-Disease\n", 3, "follows O or the beginning"),
        ("Lithium\tB-Chemical\ngout\tI-Disease\n", 2, "I-Disease follows B-Chemical"),
        (b"Gout\tB-Disease\nna\xefve\tO\n", 2, "byte 0xef is not UTF-8"),
        (b"Gout\tO\n\0\tO\n", 2, "NUL"),
        ("\n\n", 2, "no sentence"),
        ("", 0, "no sentence"),
    ],
)
def test_a_wrong_file_says_where(put, content, line, reason):
    # Mutations: drop any check in `read` or `_tag`; number lines from 0.
    file = put("train.tsv", content)
    with pytest.raises(CorpusError) as told:
        list(read(file, TYPES))
    assert str(told.value).startswith(f"{file}, line {line}: " if line else f"{file}: ")
    assert reason in str(told.value)


def test_types_that_are_merged_still_part_mentions(put):
    # Mutation: compare labels, not tags, in `read`: the two are one mention, and the wrong file passes.
    merged = {"disease": "Entity", "chemical": "Entity"}
    (item,) = read(put("one.tsv", "gout\tI-Disease\nlithium\tI-Chemical\n"), merged, scheme="IOB1")
    assert item.mentions == ((0, 1, "Entity"), (1, 2, "Entity"))
    with pytest.raises(CorpusError, match="I-Disease follows B-Chemical"):
        list(read(put("two.tsv", "lithium\tB-Chemical\ngout\tI-Disease\n"), merged))


def test_iob1_has_b_only_behind_its_own_type(put):
    with pytest.raises(CorpusError, match=r"line 1: B-Disease follows .* in IOB1"):
        list(read(put("train.tsv", "Gout\tB-Disease\n"), TYPES, scheme="IOB1"))


def test_a_damaged_archive(put):
    whole = gzip.compress(_text().encode() * 50)
    with pytest.raises(CorpusError, match="damaged"):
        list(read(put("train.tsv.gz", whole[:-20]), TYPES))
    with pytest.raises(CorpusError, match="damaged"):
        list(read(put("other.tsv.gz", b"this is no archive"), TYPES))
