"""Outputs that begin as an assistant's do that declines its task, or asks for the text that it was to work on.

What people in notes, dialogues and letters decline or cannot do passes: "The patient declined surgery", "Sorry, I
cannot feel my toes", "We cannot rule out an embolism", "Unfortunately, we cannot prescribe antibiotics". The difference
is what cannot be done: an assistant cannot assist, comply, answer the question, provide advice or see the image.
"""

import re

BEGIN = 400  # characters of an output that are looked at


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


_TEXT = _any(
    *(
        "input",
        "text",
        "notes?",
        "passages?",
        "articles?",
        "abstracts?",
        "reports?",
        "context",
        "transcript",
        "content",
    ),
    *("conversation", "document", "dialogue", "vignette", "case", "sentences?", "paragraph", "details", "information"),
    "questions?",
)
_TEXT = rf"{_TEXT}\b"
_THIS = r"(?:this|that|the|your|such|it|so|any|medical)\b"
_WORDS = r"(?:\S+ ){0,5}?"

# What may come before: an apology, thanks, understanding.
_LEAD = re.compile(
    _any(
        r"(?:hi|hello|dear|thanks|thank you)\b[^.!,]{0,60}[.!,]",
        r"(?:i(?:'m| am)|we(?:'re| are)) (?:\w+ )?(?:sorry|afraid)\b",
        r"sorry\b",
        r"(?:(?:my|our) (?:sincere )?)?apologies\b",
        r"i (?:\w+ )?apologi[sz]e\b",
        r"(?:unfortunately|regrettably|i regret)\b",
        r"as an? ai(?: language model| assistant| model)?\b",
        r"(?:i (?:understand|appreciate)|while i|although i|as an?|as your)\b[^.]{0,80}?[.,;]",
        r"for (?:the|any) (?:inconvenience|confusion)\b",
        r"(?:but|however|that|therefore|so)\b",
    )
    + r"[\s,.;:!\u2013\u2014-]*",
    re.IGNORECASE,
)
_CANNOT = _any(
    "can ?not",
    "can't",
    "could not",
    "couldn't",
    "will not",
    "won't",
    "shouldn't",
    "should not",
    "(?:will not|won't) be able to",
    "(?:'m|am|'re|are) (?:not able|unable|not allowed|not permitted|incapable|not qualified|not programmed) (?:to|of)",
    "(?:'m|am|'re|are) not (?:comfortable|in a position)(?: with| to)?",
    "(?:do not|don't) feel comfortable",
    "(?:do not|don't) have (?:the )?(?:ability|capability|capacity) to",
    "(?:must|have to|need to|should|would like to) (?:\\w+ly )?(?:decline|refuse)(?: to)?",
    "(?:\\w+ly )?(?:decline|refuse) to",
)
_MAKE = _any(
    *("provid(?:e|ing)", "giv(?:e|ing)", "offer(?:ing)?", "generat(?:e|ing)", "creat(?:e|ing)", "writ(?:e|ing)", "see"),
    *(
        "produc(?:e|ing)",
        "summari[sz]\\w+",
        "translat(?:e|ing)",
        "extract(?:ing)?",
        "determin(?:e|ing)",
        "mak(?:e|ing)",
    ),
    *("access(?:ing)?", "view(?:ing)?", "open", "analy[sz]\\w+", "shar(?:e|ing)", "interpret(?:ing)?"),
)
_MADE = _any(
    *(
        "advice",
        "guidance",
        "answers?",
        "responses?",
        "outputs?",
        "information",
        "instructions?",
        "requests?",
        "tasks?",
    ),
    *(
        "questions?",
        "summar(?:y|ies)",
        "content",
        "texts?",
        "assistance",
        "support",
        "diagnos[ei]s",
        "recommendations?",
    ),
    *(
        "opinions?",
        "explanations?",
        "translations?",
        "examples?",
        "reports?",
        "notes?",
        "lists?",
        "details?",
        "articles?",
    ),
    *("documents?", "images?", "files?", "that", "this", "it"),
)
_DOING = _any(
    r"(?:assist|comply|engage in|fulfil\w*)\b",
    r"help (?:you |out )?(?:with|in|further|on|there|and|but)\b",
    r"help(?: you)?(?:[.,!;]|$)",
    rf"(?:do|doing|perform|process|complete|carry out|execute|answer|respond to|discuss|address)(?:ing)? {_THIS}",
    r"diagnose you\b",
    rf"{_MAKE} {_WORDS}{_MADE}\b",
)
_DECLINES = re.compile(
    _any(
        rf"(?:i|we) ?{_CANNOT} (?:in good conscience |\w+ly )?{_DOING}",
        r"i (?:do not|don't) have (?:direct |real-time |any )?access to (?:the|this|that|your|any|real|external|medical"
        r"|patient|previous|current|specific|personal|images?|files?|attachments?)\b(?! (?:internet|car|building))",
        rf"i (?:do not|don't) (?:have (?:enough|sufficient|the necessary)|see (?:any|the)) (?:\S+ ){{0,2}}?{_TEXT}",
        rf"i (?:would |will |'d )?need (?:more|additional|further|the) (?:\S+ ){{0,2}}?{_TEXT}(?: \S+){{0,3}}? to "
        "(?:answer|complete|provide|perform|generate|help|assist|proceed)",
        r"it(?:'s| is| would be) (?:not possible|not appropriate|not ethical|impossible|inappropriate|unethical) "
        r"for me to\b",
        r"(?:this|that|your|the) (?:request|task|prompt) (?:can ?not|can't|could not) be "
        "(?:fulfilled|completed|processed|answered)",
        r"(?:(?:could|can|would) you )?(?:please )?(?:kindly )?(?:provide|share|paste|supply|upload|(?:give|send) me)"
        rf"(?: me)?(?: with)? (?:the|your|more|additional|some|an?) (?:\S+ ){{0,3}}?{_TEXT}",
        r"no (?:input|text|passage|context) (?:was|is|has been|were) (?:provided|given|supplied|included)",
    ),
    re.IGNORECASE,
)
# The same, where an apology came before.
_LACKS = re.compile(
    _any(
        rf"(?:i|we) (?:do not|don't|did not|didn't) (?:have|see|receive|find) (?:\S+ ){{0,4}}?(?:access\b|{_TEXT})",
        rf"there (?:is|was|are|were) no (?:\S+ ){{0,3}}?{_TEXT}",
        rf"(?:the|no|your) (?:\S+ ){{0,3}}?{_TEXT} (?:was|is|were|has been|to|does|did|seems) "
        "(?:not|missing|provided|incomplete|to be missing|empty)",
    ),
    re.IGNORECASE,
)


def refused(output: str) -> str:
    """The words with which an output declines at its beginning; empty: it does not."""
    text = re.sub(r"[*_#>]+", "", output[: 2 * BEGIN]).replace("\u2019", "'").replace("\u02bc", "'")
    text = " ".join(text.split())[:BEGIN]
    place = 0
    while True:
        patterns = [_DECLINES, _LACKS] if place else [_DECLINES]
        for pattern in patterns:
            if found := pattern.match(text, place):
                return text[: found.end()]
        lead = _LEAD.match(text, place)
        if not lead:
            return ""
        place = lead.end()
