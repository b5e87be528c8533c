"""What a model's text says, where the answer is one of a few labels or free text; shared by the families."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from bioinstruct_jax.tasks.task import Answer

REFUSAL = re.compile(
    r"\W*(?:(?:i(?:'m| am)|we(?:'re| are)) (?:very |so |really )?(?:sorry|afraid|unable|not able)\b"
    r"|(?:i|we) (?:can(?:not|'t| not)|could not|couldn't|won't|will not|do not|don't)"
    r" (?:answer|help|assist|provide|comply|give|determine|say|tell|know|feel comfortable)\b"
    r"|sorry\b|as an ai\b|unfortunately, i\b|it is not possible (?:for me )?to (?:answer|say|determine|tell)\b)",
    re.IGNORECASE,
)
FENCE = re.compile(r"```[^\S\n]*[\w+-]*[^\S\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)
ASSERTED = re.compile(
    r"\b(?:final answer|answer|label|labels|class|relation|verdict|conclusion|option|choice)\b(?: choice| option)?"
    r"(?: (?:is|are|would be|should be|must be)\b|[\"'*]*\s*[:=])+",
    re.IGNORECASE,
)
NEGATED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|without|exclude[sd]?|rather than|instead of|ruled? out)\b|n't\b|\bno(?=\s))"
    r"(?:[\s\"'(\[*]+(?:an?|the|any|be|clearly|simply|really|significantly|necessarily|of|to|with|about|type|class|one|evidence"
    r"|concern\w*|address\w*|describ\w*|report\w*|related|example|case)\b)*[\s\"'(\[*]*$",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"[.;!?](?=\s|$)|\n")


def unfenced(text: str) -> str:
    """The inside of the only code fence that there is, or the text, without blanks around."""
    found = FENCE.findall(text)
    return (found[0] if len(found) == 1 and found[0].strip() else text).strip()


def refused(text: str) -> bool:
    """Whether a text begins as those do with which a model declines."""
    return bool(REFUSAL.match(text.replace("\u2019", "'")))


def free_text(text: str) -> Answer[str]:
    """An answer that is any text: as it stands, but for blanks around it and a fence around the whole of it."""
    whole = text.strip()
    fence = FENCE.fullmatch(whole)
    answer = fence[1].strip() if fence and "```" not in fence[1] else whole
    if not answer:
        return Answer(None, {"empty": 1})
    return Answer(None, {"refusal": 1}) if refused(answer) else Answer(answer, {})


@cache
def _pattern(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    by_form = {_form(label): label for label in labels}
    ordered = sorted(labels, key=lambda label: -len(label))
    forms = (r"[\W_]*".join(map(re.escape, re.findall(r"[^\W_]+", label))) for label in ordered)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(forms)})(?![^\W_])", re.IGNORECASE), by_form


def _form(text: str) -> str:
    """Letters and digits alone, in one case."""
    return re.sub(r"[\W_]+", "", text).casefold()


def places(text: str, labels: Sequence[str]) -> Iterator[tuple[str, int, int, bool]]:
    """Where a text names labels, in any case: the label, its characters [start, end), and whether it is denied."""
    pattern, by_form = _pattern(tuple(labels))
    for match in pattern.finditer(text):
        label = by_form.get(_form(match[0]))  # None: a Turkish i, which matches one in any case and folds to another
        if label is not None:
            denied = NEGATED.search(text[max(0, match.start() - 60) : match.start()])
            yield label, match.start(), match.end(), bool(denied)


def opposite(label: str, labels: Sequence[str]) -> str:
    """The label ``not x`` for the label ``x``; empty: there is none."""
    return next((other for other in labels if _form(other) == f"not{_form(label)}"), "")


def named(text: str, labels: Sequence[str]) -> list[str]:
    """The labels that a text names, in its order and each once, in any case; those that it denies are left out.

    Where ``not x`` is a label itself, a denied ``x`` counts as that.
    """
    found = (opposite(label, labels) if denied else label for label, _, _, denied in places(text, labels))
    return list(dict.fromkeys(label for label in found if label))


def parts(text: str) -> list[str]:
    """Where an answer is looked for, in order: behind the last "the answer is", the first sentence, the whole."""
    ends = [match.end() for match in ASSERTED.finditer(text)][-1:]
    stated = [SENTENCE.split(text[end:].strip(), maxsplit=1)[0] for end in ends]
    return stated if refused(text) else [*stated, SENTENCE.split(text, maxsplit=1)[0], text]


def single(text: str, labels: Sequence[str]) -> Answer[str]:
    """The one label of a closed set that a text gives."""
    answer = unfenced(text)
    if not answer:
        return Answer(None, {"empty": 1})
    exact = _pattern(tuple(labels))[1].get(_form(answer))
    if exact:
        return Answer(exact, {})
    for part in parts(answer):
        if found := named(part, labels):
            return Answer(found[0], {}) if len(found) == 1 else Answer(None, {"several labels": 1})
    return Answer(None, {"refusal" if refused(answer) else "no label": 1})
