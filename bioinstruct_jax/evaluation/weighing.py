"""How much the words around an answer make of it: patterns, and the weight of a place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.tasks import answers

WINDOW = 120  # characters before and behind a place that decide on its weight
_FILLERS = (
    r"(?:[\s\"'(\[{:,=>-])*(?:(?:it|that|this|is|are|be|must|would|should|probably|definitely|certainly|clearly|most"
    r"|likely|option|choice|letter|answer|label|class|the|an?|to|my|therefore|indeed|simply)\b[\s\"'(\[{:,=-]*)*$"
)
_STATED = re.compile(
    rf"(?:{answers.ASSERTED.pattern}"
    r"|\b(?:correct|right|best|likeliest|preferred|indicated|most \w+|(?:first|second)[- ]line)\b[^.;\n]{0,60}?"
    r"(?:\b(?:is|are|was|would be|should be|must be)\b|[:=])"
    r"|\b(?:choose|chose|select|pick|go(?:ing)? with|opt(?:ing)? for|settled? on|vote for|lean(?:ing)? towards?|say"
    r"|guess|answer with|recommend|points? to|indicates?|leaves?|leaving)\b"
    rf"){_FILLERS}",
    re.IGNORECASE,
)
CONCLUDED = re.compile(
    rf"(?:\b(?:so|therefore|thus|hence|consequently|accordingly|no,|wait|actually|i mean|make that|correction|it's"
    rf"|rather)(?![\w-])|->|=>|\u2192){_FILLERS}",
    re.IGNORECASE,
)
_FINAL = re.compile(rf"\bfinal(?:ly)?\b[^.;\n]{{0,30}}?(?:\b(?:is|was)\b|[:=]){_FILLERS}", re.IGNORECASE)
REVISED = re.compile(
    r"\b(?:wait|actually|no,|correction|on second thoughts?|i mean|let me re\w+|reconsider\w*|scratch that|i was wrong"
    r"|changed? my mind)(?!\w)",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(
    r"(?:(?:n't|\bnot|\bcannot|\bnever) (?:\w+ )?(?:think|believe|choose|pick|select|say|favou?r|go with|agree|consider"
    r"|be)\b|(?:n't|\bnot) (?:true|correct|the case|right) (?:that|to say)\b"
    r"|\b(?:incorrect|wrong|false) (?:that|to say)\b|\b(?:un|in)likely (?:that|to be)\b)"
    r"(?:(?!\b(?:so|therefore|thus|hence|but)\b)[^.;\n]){0,60}$"
    r"|\b(?:incorrect|wrong|false|unlikely)(?: answers?| options?)?:[^.;:\n]{0,30}$"
    r"|\b(?:except(?: for)?|eliminat\w+|discard\w*|reject\w*|consider(?:ed|ing)|tempted by|unlike|avoid\w*|stop(?:ped)?"
    r"|rul\w+ out|if)(?: (?:option|choice|the|an?|both))*[\s\"'(\[]*$",
    re.IGNORECASE,
)
_CLOSE = r"[)\]}.\"']*,?\s*(?:\([^()\n]{0,60}\)\s*)?(?:itself |alone |both |all |therapy |,? ?too )?"
_BAD = re.compile(
    _CLOSE + r"(?:(?:is|are|was|were|would be|seems?|appears?|can be|could be|should be|must be)\s+"
    r"(?:\w+ly |all |both |also |thus )*(?:not|wrong|incorrect|false|unlikely"
    r"|ruled out|excluded|eliminated|contraindicated|inappropriate|stopped"
    r"|avoided|out|less|inferior|unsafe|dangerous)\b"
    r"|(?:is|are|was|were|does|do|would|should|could|can|has|have|wo)n't\b|cannot\b"
    r"|(?:does|do|would|should|could|can|will|must|may) not\b|must be stopped\b"
    r"|[:=-]+\s*(?:no\b(?!\s*\w)|not (?:correct|right|likely|indicated|suitable|appropriate)\b"
    r"|(?:wrong|incorrect|false)\b)|\(\s*(?:no|wrong|incorrect|false|ruled out)\b)",
    re.IGNORECASE,
)
_GOOD = re.compile(
    _CLOSE + r"(?:(?:is|are|was|would be|must be|seems?|remains?)\s+(?:to be )?(?:\w+ly )*(?:the |an? )?(?:only )?"
    r"(?:correct|right|best|true|most|answer|preferred|likeliest|treatment of choice|drug of choice)\b"
    r"|[:=(-]+\s*(?:yes|correct|right|true)\b)",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(r"[^.;\n]{0,20}\bwould (?:be|have been)\b[^.;\n]*\b(?:if|had|were)\b", re.IGNORECASE)
_ASKED = re.compile(r"[^.;!\n]{0,20}\?")
_ENDED = re.compile(r".*(?:[.;!?](?=\s)|\n)", re.DOTALL)
_IS = re.compile(r"\b(?:is|be)[\s\"'(\[]*$", re.IGNORECASE)
_ENDS = re.compile(r"[)\]\"']*(?:[.!](?:\s|$)|\n|$)")
JUST = re.compile(r"[\s\"'()\[\]{}.!?,;:-]*?(?:\n|$)")  # nothing more on this line
_OPENS = re.compile(r"(?:[)\]}\"']*(?:[.,:;!]|\s*-|\s*\n|\s*$|[)\]}])|\s+(?:because|since|as|due)\b)", re.IGNORECASE)
_LEAD = re.compile(r"[\s\"'(\[{#>-]*(?:(?:option|choice|answer|label|the)\b[\s\"'(\[{:]*)*", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """An answer named at characters [start, end) of a plain text.

    Attributes:
        by_text: by its words rather than its letter.
        denied: whether the text denies it; None: what stands around it says.
        weak: it counts only where it is said to be the answer.
    """

    value: str
    start: int
    end: int
    by_text: bool = False
    denied: bool | None = None
    weak: bool = False


def weight(text: str, group: Sequence[Mention]) -> int:
    """4 final, 3 stated, 2 first or last of the text, 1 in passing, 0 none: denied, asked or supposed."""
    start, end = group[0].start, group[-1].end
    whole, after = text[max(0, start - WINDOW) : start], text[end : end + WINDOW]
    ended = _ENDED.match(whole.rstrip())
    before = whole[ended.end() if ended else 0 :]  # of the same sentence, or of a line that announces it
    denied = group[0].denied
    if denied is None:
        denied = bool(answers.NEGATED.search(before) or _DENIED_BEFORE.search(before) or _BAD.match(after))
    if denied or _ASKED.match(after) or _SUPPOSED.match(after):
        return 0
    if _FINAL.search(before):
        return 4
    alone = before.rstrip(" \"'([{").endswith((":", "=", ":\n")) and JUST.match(after)
    word = any(mention.weak and not mention.by_text for mention in group)
    ends = not word and _ENDS.match(after) and _IS.search(before)  # "the organism is B.", but not "it is unclear."
    if alone or ends or _GOOD.match(after) or _STATED.search(before) or CONCLUDED.search(before):
        return 3
    if all(mention.weak for mention in group):
        return 0
    lead = _LEAD.match(text, 0, start) if start <= WINDOW else None
    if lead and lead.end() == start and _OPENS.match(after):
        return 2
    line = whole.rpartition("\n")[2] if "\n" in whole or start <= WINDOW else "?"
    last = len(text) - end < WINDOW and JUST.fullmatch(after)
    return 2 if last and not line.strip(" \t\"'([{#>-") else 1
