"""The option that a model's text commits to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from bioinstruct_jax.evaluation.extraction import WINDOW, Extracted, Mention, decide, plain

NEAR = 40  # characters around a letter that tell whether it stands for an option
_KINDS = (  # nouns that a letter names one of: vitamin B, hepatitis C, type A
    "vitamins?|hepatitis|hep|types?|groups?|class|child[- ]pugh|stage|grade|proteins?|factors?|blood|categor(?:y|ies)"
    "|strain|influenza|antigen|coenzyme|ig|immunoglobulin|toxin|h(?:a)?emophilia|cyclosporine?|amphotericin|polymyxin|provitamin"
    "|penicillin|apolipoprotein|apo|cytochrome|lead|zone|phase|nephritis|criteri(?:on|a)|haemoglobin|hemoglobin|dna|rna"
    "|complement|cathepsin|lipid|kinase|gene|arm|cohort|patient|figure|table|panel"
)
_NAMED_BY = re.compile(rf"\b(?:{_KINDS})[\s-]+(?:[A-Z]\d{{0,2}}\s*(?:,|and|or|/|&)\s*)*$", re.IGNORECASE)
_THING = re.compile(
    r"\s(?:cells?|lymphocytes?|virus|symptoms|antigens?|fib(?:er|re)s?|waves?|streptococc\w*|strains?|vitamins?|deficiency)\b"
    r"|\.\s?(?:coli|difficile|botulinum|perfringens|tetani|pertussis|cereus|anthracis|fragilis|burgdorferi|albicans|auris"
    r"|trachomatis|pneumoniae|psittaci|diphtheriae|jejuni|fumigatus|faecalis|faecium|baumannii|henselae|quintana|elegans"
    r"|melanogaster|granulosus|multilocularis|histolytica|immitis|dermatitidis|neoformans|abortus|melitensis|cepacia"
    r"|lumbricoides|duodenale|malayi|cloacae|aerogenes|freundii|glabrata|krusei|burnetii)\b"
)
_VERBS = (
    "is|are|was|were|would|should|could|can|cannot|may|might|must|seems|appears|does|has|fits|because|since|as|for|given|and"
    "|or|but|due|which|with|while|whereas|however|then|so|not|only|alone|too|nor|isn't|by|if|describes|explains|matches"
    "|remains|rather|instead|over|to"
)
_ARTICLE = re.compile(rf"\s+(?!(?:{_VERBS})\b)[\w\"'(]")
_PRONOUN = re.compile(r"'|\s+(?!(?:is|because|since|and|or)\b)[a-z]")
_TOLD = re.compile(
    r"\b(?:answer|option|choice|letter|choose|pick|select|go with|guess|think|so|is)\b[\s\"'(\[{:=]*$", re.IGNORECASE
)
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|\S")


def choice(text: str, options: Mapping[str, str]) -> Extracted[str]:
    """The letter of the option that a text commits to. ``options``: texts by capital letter; a text may be blank."""
    said = plain(text)
    if not said.text.strip():
        return Extracted(None, "empty")
    letters = "".join(options)
    whole = re.fullmatch(rf"\W*(?:(?i:option|choice|answer|letter)\b\W*)?([{letters}{letters.lower()}])\W*", said.text)
    if whole:
        return Extracted(whole[1].upper(), "exact", said.span(*whole.span(1)))
    texts = list(_texts(said.text, options))
    bare = said.text.strip(" \t\r\n\"'.,;:!()[]{}-")
    if texts and len({mention.value for mention in texts}) == 1 and _same(said.text, texts[0], bare):
        return Extracted(texts[0].value, "option text", said.span(texts[0].start, texts[0].end))
    taken = [(mention.start, mention.end) for mention in texts]
    found = sorted([*texts, *_letters(said.text, options, taken)], key=lambda mention: mention.start)
    return decide(said, list(_settle(said.text, found, options)), lambda one, other: _own(said.text, one, other))


def _same(text: str, mention: Mention, bare: str) -> bool:
    return len(bare) <= mention.end - mention.start and bare in text[mention.start : mention.end]


def _letters(text: str, options: Mapping[str, str], taken: list[tuple[int, int]]) -> Iterator[Mention]:
    """Letters that stand for options, none within the text of one (``taken``, in order)."""
    letters = "".join(options)
    place = 0
    small = rf"[{letters.lower()}](?=[)\]}}.,:;\"'\n]|\s*$|\s(?:because|since))"
    pattern = rf"(?<![\w'+])(?<!\w-)(?:[{letters}](?![\w'+]|-\w)|{small})"
    for match in re.finditer(pattern, text):
        start, end = match.span()
        while place < len(taken) and taken[place][1] <= start:
            place += 1
        if place < len(taken) and taken[place][0] <= start:
            continue
        before, after = text[max(0, start - NEAR) : start], text[end : end + NEAR]
        letter = match[0].upper()
        if _NAMED_BY.search(before) or (_THING.match(after) and not _begins(after, options[letter])):
            continue
        if match[0] == "A" and _ARTICLE.match(after) and not _begins(after, options[letter]):
            continue
        if match[0] == "I" and _PRONOUN.match(after):
            continue
        first = start <= 3 and not text[:start].strip("([{\"' ") and after[:1] in (")", ".", ":", "\n")
        if match[0].islower() and not first and not _TOLD.search(before):
            continue
        yield Mention(letter, start, end)


def _begins(after: str, option: str) -> bool:
    """Whether the text of an option, as far as it can be seen, follows its letter."""
    behind, begin = after.lstrip(" .:)-").casefold(), option.strip().casefold()[: NEAR // 2]
    return bool(begin) and behind.startswith(begin)


@lru_cache(64)
def _pattern(options: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds the texts of options, in any case and with blanks or hyphens between words; longer ones first.

    The texts are plain and not blank.
    """
    forms = []
    for option in sorted(options, key=lambda option: -len(option)):
        tokens = _TOKEN.findall(option)
        body = r"[\s-]*+".join(re.escape(token) for token in tokens)
        start = r"(?<![\w<>\u2264\u2265-])(?<![<>\u2264\u2265]\s)(?<!\d[.,])" if option[0].isdigit() else r"(?<!\w)"
        stop = r"(?![\d%])(?!\s?[-/%]\s?\d)(?!\s%)" if tokens[-1][-1].isdigit() else ""
        stop += r"(?!\w)(?!/\w)(?!\.\d)" if tokens[-1][-1].isalnum() else ""
        forms.append(start + body + stop)
    return re.compile("|".join(forms), re.IGNORECASE) if forms else None


def _texts(text: str, options: Mapping[str, str]) -> Iterator[Mention]:
    """Texts of options; a number without a unit is weak. The same text of two options names both."""
    by_form: dict[str, list[str]] = {}
    texts = {letter: plain(option).text.rstrip(". ") for letter, option in options.items()}
    told = {letter: option for letter, option in texts.items() if len(option) > 1 or option.isdigit()}
    for letter, option in told.items():
        by_form.setdefault(_form(option), []).append(letter)
    pattern = _pattern(tuple(sorted(set(told.values()))))
    for match in pattern.finditer(text) if pattern else ():
        for letter in by_form.get(_form(match[0]), ()):
            weak = not any(sign.isalpha() for sign in match[0])
            yield Mention(letter, match.start(), match.end(), by_text=True, weak=weak)


def _form(text: str) -> str:
    return re.sub(r"[\s-]+", "", text.strip().rstrip(".")).casefold()


def _own(text: str, one: Mention, other: Mention) -> bool:
    """Whether a letter and the text of an option are one place: "B. insulin", "insulin (B)".

    So is a letter before another option's text that ends the line: it names both, and settles on neither.
    """
    between = text[one.end : other.start]
    if len(between) > 6 or one.by_text == other.by_text or between.strip(" .,:;()[]\"'=-"):
        return False
    ends = re.match(r"[^\w\n]*(?:$|\n)", text[other.end : other.end + WINDOW])
    return one.value == other.value or bool(other.by_text and ends)


def _settle(text: str, mentions: list[Mention], options: Mapping[str, str]) -> Iterator[Mention]:
    """Mentions where a text behind a letter counts for it if it is a part of its option: "B. Insulin" for "B. Insulin
    glargine", though another option is "Insulin"."""
    last: Mention | None = None
    for mention in mentions:
        behind = last is not None and not last.by_text and mention.by_text and _own(text, last, mention)
        if last and behind and _form(text[mention.start : mention.end]) in _form(options[last.value]):
            mention = replace(mention, value=last.value)
        last = mention
        yield mention
