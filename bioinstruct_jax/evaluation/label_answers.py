"""The label, or labels, of a closed set that a model's text gives; and yes, no or maybe."""

import re
from collections.abc import Iterator, Mapping, Sequence

from bioinstruct_jax.evaluation.extraction import WINDOW, Extracted, Mention, Plain, decide, plain, refused
from bioinstruct_jax.tasks import answers

# Other words for an answer. They count where nothing else stands, or right behind "the answer is"; in a sentence such a
# word is no answer: "the mechanism is unclear" decides nothing.
MEANT = {
    "yes": ("true", "correct", "affirmative", "definitely", "certainly", "absolutely", "yeah", "yep"),
    "no": (
        "false",
        "incorrect",
        "negative",
        "definitely not",
        "certainly not",
        "absolutely not",
        "probably not",
        "nope",
    ),
    "maybe": ("possibly", "perhaps", "uncertain", "unclear", "inconclusive", "undetermined", "equivocal", "it depends"),
}
NLI = {  # for `label`: inflected forms, and what denies two of three
    "entails": "entailment",
    "entailed": "entailment",
    "contradicts": "contradiction",
    "contradicted": "contradiction",
    "contradictory": "contradiction",
    "neither entails nor contradicts": "neutral",
    "neither entailed nor contradicted": "neutral",
    "neither entailment nor contradiction": "neutral",
}
ASSOCIATION = {
    "association": "associated",
    "no association": "not associated",
    "no significant association": "not associated",
    "no evidence of an association": "not associated",
    "unassociated": "not associated",
}
_NO = re.compile(r"[\"')\]}*]*(?:[.,;:!?/\n]|\s*$|\s+-|\s+(?:because|since|as|and|or|not|but)\b)", re.IGNORECASE)
_NO_FIRST = re.compile(r"\s+(?:there|it|they|the|this|that|these|those|we|he|she)\b", re.IGNORECASE)
_ENTRY = re.compile(r"[^,;\n|\u2022\[\]{}\"]+")
_NUMBER = re.compile(r"\s*(?:[-*\u2022]|\(?\d{1,2}[.)])?\s*")
_NONE = re.compile(
    r"\b(?:none|no (?:\w+ ){0,3}?(?:labels?|hallmarks?|class(?:es)?)|not applicable|n/a)\b|^\W*\[\s*\]\W*$",
    re.IGNORECASE,
)
_KEY = re.compile(r"\W*(?:[\w ]{0,40}?\b(?:labels?|answers?|hallmarks?|classes)\b[^:\n]{0,20}:\s*)", re.IGNORECASE)


def yes_no_maybe(text: str, labels: Sequence[str] = ("yes", "no", "maybe")) -> Extracted[str]:
    """Which of yes, no and maybe a text says. ``labels``: those that are allowed, two or all.

    A finding is not an answer: "the results suggest a benefit" gives none, and the "no" of "no evidence" is not one.
    "Yes and no" is ambiguous. Other words count as `MEANT` says.
    """
    said = plain(text)
    if not said.text.strip():
        return Extracted(None, "empty")
    words = {word: label for label in labels for word in (label, *MEANT.get(label, ()))}
    if found := _whole(said, words):
        return found
    return decide(said, list(_decisions(said.text, words, labels)), lambda one, other: False)


def _decisions(text: str, words: Mapping[str, str], labels: Sequence[str]) -> Iterator[Mention]:
    for word, start, end, denied in answers.places(text, tuple(words)):
        after = text[end : end + WINDOW]
        first = start <= 3 and not text[:start].strip("\"'( ") and _NO_FIRST.match(after)
        if word == "no" and not first and not _NO.match(after):
            continue
        if word not in labels and not _NO.match(after):
            continue
        yield Mention(words[word], start, end, denied=denied or None, weak=word not in labels)


def label(text: str, labels: Sequence[str], synonyms: Mapping[str, str] | None = None) -> Extracted[str]:
    """The one label of a closed set that a text gives, in any case. ``synonyms``: other words for labels (`NLI`).

    Where ``not x`` is a label, a denied ``x`` counts as that.
    """
    said = plain(text)
    if not said.text.strip():
        return Extracted(None, "empty")
    words = {one: one for one in labels} | dict(synonyms or {})
    if found := _whole(said, words):
        return found
    return decide(said, list(_mentions(said.text, words, labels)), lambda one, other: False)


def _mentions(text: str, words: Mapping[str, str], labels: Sequence[str]) -> Iterator[Mention]:
    for word, start, end, denied in answers.places(text, tuple(words)):
        other = answers.opposite(words[word], labels) if denied else ""
        yield Mention(other or words[word], start, end, denied=False if other else denied or None)


def _whole(said: Plain, words: Mapping[str, str]) -> Extracted[str] | None:
    """The answer that is the whole text, but for signs around it; None: it is more than one, or none."""
    bare = said.text.strip(" \t\r\n\"'.,;:!()[]{}#>_-")
    if not bare or len(bare) > 2 * max(map(len, words), default=0):
        return None
    start = said.text.index(bare)
    for word, first, end, _ in answers.places(said.text, tuple(words)):
        if (first, end) == (start, start + len(bare)):
            return Extracted(words[word], "exact", said.span(first, end))
    return None


def several(text: str, labels: Sequence[str], synonyms: Mapping[str, str] | None = None) -> Extracted[tuple[str, ...]]:
    """All labels that a text gives, in the order of ``labels``; () if it says that none applies.

    A list (commas, semicolons, lines, bullets, JSON) has its unknown entries counted; in a sentence those are
    taken that it does not deny.
    """
    said = plain(text)
    if not said.text.strip():
        return Extracted(None, "empty")
    words = {one: one for one in labels} | dict(synonyms or {})
    found = [one for one in answers.places(said.text, tuple(words)) if not one[3]]
    if not found:
        if refused(said.text):
            return Extracted(None, "refused")
        none = _NONE.search(said.text)
        return Extracted((), "stated", said.span(*none.span())) if none else Extracted(None, "nothing")
    named = {words[word] for word, *_ in found}
    values = tuple(one for one in labels if one in named)
    span = said.span(found[0][1], found[-1][2])
    entries = _entries(said.text)
    plain_list = all(len(entry.split()) <= 6 for entry in entries)
    if not plain_list and refused(said.text):
        return Extracted(None, "refused")
    unknown = sum(next(answers.places(entry, tuple(words)), None) is None for entry in entries) if plain_list else 0
    return Extracted(values, "listed" if plain_list else "mentioned", span, unknown)


def _entries(text: str) -> list[str]:
    """The entries of a list, without what announces it, bullets and numbers."""
    key = _KEY.match(text)
    parts = (
        _NUMBER.sub("", part, count=1).strip(" \t.:'()") for part in _ENTRY.findall(text[key.end() if key else 0 :])
    )
    return [part for part in parts if any(sign.isalpha() for sign in part)]
