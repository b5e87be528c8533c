"""Choice: one of several lettered options."""

import re
from dataclasses import dataclass

from bioinstruct_jax.tasks import answers
from bioinstruct_jax.tasks.task import Answer, Family, Task

LETTERS = "ABCDEFGHIJ"
ARTICLE = re.compile(r"\s+(?!(?:as|because|due|for|given|since|which|with)\b)[a-z]")  # what follows "a" if it is one
DENIED = re.compile(
    r"\)?,? (?:(?:is|are|was|would be|seems?) (?:not|wrong|incorrect|false|unlikely)|isn't|cannot|can't)\b"
)
WORDINGS = (
    "Answer this question on {subject} by choosing the best option.",
    "Select the single best answer to the following question on {subject}.",
    "Here is a multiple-choice question on {subject}. Exactly one option is correct; which?",
    "Work through the question below, which is on {subject}, and choose the most appropriate option.",
    "Read this question on {subject} with all its options before you commit yourself to one.",
    "As if you were sitting an examination in {subject}, mark the correct option.",
    "Rule out the options that do not fit, and give the one that best answers this question on {subject}.",
    "The question is on {subject}. Which option answers it correctly?",
    "Pick the option that current knowledge of {subject} supports best.",
)


@dataclass(frozen=True)
class Choice:
    """A question with its options.

    Attributes:
        answer: the place of the right one, from 0.
        topic: its subject, if known.
        untidied: question and options as the file has them, blanks around them and all; empty where that is the same.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    topic: str = ""
    untidied: tuple[str, ...] = ()


def gold(item: Choice) -> str:
    """The letter of the right option."""
    return LETTERS[item.answer]


def render(item: Choice, task: Task[Choice, str], format: str) -> tuple[str, str]:
    """The question with its lettered options; then the letter, or letter and text."""
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False))
    letter = gold(item)
    if format == "letter_and_text":
        form, output = "Answer with the letter and the text of one option.", f"{letter}. {item.options[item.answer]}"
    else:
        form, output = "Answer with the letter of one option.", letter
    return f"Question: {item.question}\n{options}\n{form}", output


def parse(text: str, item: Choice, task: Task[Choice, str], format: str) -> Answer[str]:
    """The letter that a text gives, by itself, before the option, in a sentence, or as the text of one option.

    Problems: ``empty``, ``refusal``, ``no letter``, and ``several letters``, of which none is taken.
    """
    answer = re.sub(r"[*`$]|\\(?:boxed|text)", "", answers.unfenced(text)).strip()
    letters = LETTERS[: len(item.options)]
    if not answer:
        return Answer(None, {"empty": 1})
    for found in _readings(answer, letters, item.options):
        if len(found) == 1:
            return Answer(found[0], {})
        if found:
            return Answer(None, {"several letters": 1})
    return Answer(None, {"refusal" if answers.refused(answer) else "no letter": 1})


def _readings(text: str, letters: str, options: tuple[str, ...]) -> list[list[str]]:
    """Letters that a text can be read to give, the surest reading first; the first with any decides."""
    alone = rf"[({{\[]?([{letters}{letters.lower()}])[)}}\]]?"
    whole = re.fullmatch(rf"(?:(?:option|choice|answer)[\s:]+)?{alone}[.,:]?", text, re.IGNORECASE)
    lead = re.match(
        rf"(?:option |choice )?[({{\[]?([{letters}])(?:[)}}\]]|[.:](?=\s|$)|\s*[-\u2013\u2014]\s|\s*\n)", text
    )
    same = [letter for letter, option in zip(letters, options, strict=True) if _plain(option) == _plain(text)]
    listed = re.fullmatch(rf"\W*(?:{alone}(?:\s*(?:,|and|or|&|/)+\s*|\W*$)){{2,}}", text, re.IGNORECASE)
    stated = [text[match.end() :][:200] for match in answers.ASSERTED.finditer(text)]
    finals = [part for match, part in zip(answers.ASSERTED.finditer(text), stated, strict=True) if "inal" in match[0]]
    readings = [[whole[1].upper()]] if whole else []
    if listed:
        readings.append(_distinct(re.findall(rf"(?<![A-Za-z])[{letters}{letters.lower()}](?![A-Za-z])", text)))
    if same:
        readings.append(same)
    readings.append(_distinct([letter for part in finals[-1:] or stated for letter in _stated(part, letters)]))
    if lead and not whole:
        readings.append([lead[1]])
    if answers.refused(text):
        return readings
    readings.append(_mentioned(text, letters))
    within = [letter for letter, option in zip(letters, options, strict=True) if _has(text, option)]
    return [*readings, within]


def _stated(part: str, letters: str) -> list[str]:
    """The letters behind "the answer is": one, or those joined to it."""
    one = rf"[({{\[]?[{letters}][)}}\]]?(?![A-Za-z'])"
    match = re.match(rf"\W*(?:[Oo]ption |[Cc]hoice |[Ll]etter )?({one}(?:\s*(?:,|and|or|&|/)\s*{one})*)", part)
    if not match:
        small = re.match(rf"[\s({{\[]*([{letters.lower()}])(?:[)}}\].,:]|\s*$)", part)
        return [small[1]] if small else []
    if match[1] == "A" and ARTICLE.match(part[match.end() :]):
        return []  # an article
    return re.findall(rf"[{letters}]", match[1])


def _mentioned(text: str, letters: str) -> list[str]:
    """Capital letters that stand for options in prose, those denied left out."""
    found = []
    for match in re.finditer(
        rf"\(([{letters}])\)|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ll]etter) \(?([{letters}])\b"
        rf"|\b([{letters[1:]}])(?=[.,:;)\s]|$)",
        text,
    ):
        before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() : match.end() + 40]
        if not DENIED.match(after) and not answers.NEGATED.search(before):
            found.append(match[1] or match[2] or match[3])
    return _distinct(found)


def _distinct(letters: list[str]) -> list[str]:
    return list(dict.fromkeys(letter.upper() for letter in letters))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text)).casefold()


def _has(text: str, option: str) -> bool:
    return bool(_plain(option)) and f" {_plain(option)} " in f" {_plain(text)} "


def question_options(item: Choice) -> str:
    """Question and options as lm-evaluation-harness puts MedQA."""
    question, options = _untidied(item)
    return f"Question: {question}\n{options}Answer:"


def question_choices_options(item: Choice) -> str:
    """The same with a line between, as it puts MedMCQA."""
    question, options = _untidied(item)
    return f"Question: {question}\nChoices:\n{options}Answer:"


def bare_question_options(item: Choice) -> str:
    """Question, without a word before it or blanks around it, and options, as it puts MMLU."""
    question, options = _untidied(item)
    return f"{question.strip()}\n{options}Answer:"


def _untidied(item: Choice) -> tuple[str, str]:
    """Question; options, each on a line behind its letter."""
    question, *options = item.untidied or (item.question, *item.options)
    return question, "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))


CHOICE: Family[Choice, str] = Family(
    name="choice",
    category="QA",
    wordings=WORDINGS,
    formats=("letter", "letter_and_text"),
    gold=gold,
    text=lambda item: "\n".join((item.question, *item.options)),
    render=render,
    parse=parse,
    question=lambda item: item.question,
)
