"""Why an instruction is not accepted, as far as it can be seen in itself.

There is no list of forbidden words: graph, image, map, file or "draw blood" are medicine.
"""

import re

from bioinstruct_jax.generation.item import Item
from bioinstruct_jax.generation.job import Filters
from bioinstruct_jax.generation.language import other_language
from bioinstruct_jax.generation.refusals import refused

# Every reason in `rejected.jsonl`, in the order in which they are looked for.
REASONS = {
    "malformed": "The answer, or this part of it, has not the form that was asked for.",
    "empty": "The instruction or the output holds nothing.",
    "truncated": "The answer ends in the middle.",
    "surplus": "The answer holds more instructions than were asked for; these are the ones behind.",
    "too_short": "The instruction has too few words.",
    "too_long": "The instruction, the input or the output has too many words, or words without end.",
    "refusal": "The output begins as an assistant's do that declines, or that asks for its input.",
    "self_reference": "The text speaks of the model that wrote it, or of the prompt that it was written for.",
    "language": "The instruction, the input or the output is not in English.",
    "duplicate": "The instruction is that of a seed, or of an earlier row that was new and in order.",
    "too_similar": "The instruction is too similar to that of a seed, or of an earlier row that was new and in order.",
    "near_duplicate": "Input and output together are nearly those of an accepted row.",
    "contaminated": "It shares text with an item that models are evaluated on.",
    "no_answer": "The second pass brought no output.",
    "no_consensus": "The teachers' outputs differ too much from each other.",
}

LETTERS = 20  # characters a word may have in the mean: commas without blanks are no way around a limit

_HOLLOW = re.compile(r"[\s.\u2026_\"'`*\[\](){}-]*")
_SIGNS = ("-", "--", "---")  # of a dipstick

_MODEL = r"(?:ai|artificial intelligence|(?:large |ai )?language model)\b"
_ITSELF = re.compile(
    rf"\bas an? {_MODEL}(?: (?:language model|model|assistant|chatbot|system|program))*,? ?(?:i|we|my)\b"
    r"|\bas an ai language model\b"
    rf"|\bi(?:'m| am) (?:just |only |simply |merely )?an? (?:{_MODEL}|chatbot\b|virtual assistant\b)"
    r"|\bmy (?:training data|knowledge cut-?\s?off|programming)\b"
    r"|\bi (?:was|am|have been) (?:trained|developed|created) by (?:openai|anthropic|google|meta|mistral)\b"
    r"|\bseed (?:task|instruction|example)s?\b|<no ?input>|\bis_classification\b",
    re.IGNORECASE,
)
_PROMPT = re.compile(  # in an instruction, above which nothing stands
    r"\b(?:example|task|demonstration)s? (?:(?:given|shown|provided|listed|presented|mentioned) )?above\b"
    r"|\b(?:above|aforementioned) (?:examples?|tasks?|demonstrations?|prompt)\b"
    r"|\b(?:previous|preceding|earlier) (?:examples?|prompts?)\b"
    r"|\b(?:given|provided|original|example|sample) tasks\b|\bthe (?:given|provided|original) prompt\b|\bthis prompt\b"
    r"|\b(?:new|different) (?:from|than) the (?:given |provided )?(?:examples|tasks|seeds)\b",
    re.IGNORECASE,
)


def excess(text: str, most: int) -> str:
    """By how much a text is longer than so many words, or than `LETTERS` characters for each; empty: it is not."""
    if len(text) > most * LETTERS:
        return f"{len(text):,} characters, at most {most * LETTERS:,}"
    words = len(text.split())
    return f"{words:,} words, at most {most:,}" if words > most else ""


def problem(item: Item, settings: Filters, *, answered: bool = True) -> tuple[str, str] | None:
    """The first reason of `REASONS` for which an item is left out, and with what value; None: none was found.

    Args:
        answered: it has its output; else that is asked for later.
    """
    due = (
        (("instruction", item.instruction), ("output", item.output))
        if answered
        else (("instruction", item.instruction),)
    )
    for name, text in due:
        if _HOLLOW.fullmatch(text) and text.strip() not in _SIGNS:
            return "empty", name
    for name, text, most in (
        ("instruction", item.instruction, settings.most_words),
        ("input", item.input, settings.most_input_words),
        ("output", item.output, settings.most_output_words),
    ):
        if too_long := excess(text, most):
            return "too_long", f"{name}: {too_long}"
    words = len(item.instruction.split())
    if words < settings.least_words:
        return "too_short", f"instruction: {words} words, at least {settings.least_words} are due"
    if begin := refused(item.output):
        return "refusal", begin
    for name, text in (("instruction", item.instruction), ("input", item.input), ("output", item.output)):
        text = _plain(text)
        if found := _ITSELF.search(text) or (_PROMPT.search(text) if name == "instruction" else None):
            return "self_reference", f"{name}: {found[0]}"
    if settings.language == "en":
        for name, text in (("instruction", item.instruction), ("input", item.input), ("output", item.output)):
            if language := other_language(text):
                return "language", f"{name}: {language}"
    return None


def _plain(text: str) -> str:
    """With straight apostrophes."""
    return text.replace("\u2019", "'").replace("\u2018", "'").replace("\u02bc", "'")
