"""Mentions from B, I and O tags, in the two ways that are in use; they differ where an I does not follow its own kind.

``B-Disease I-Disease O``, or bare ``B I O`` where there is but one type, which is then named ``""``.
"""

from collections.abc import Sequence

from bioinstruct_jax.tasks.spans import Mention


def conlleval(tags: Sequence[str]) -> tuple[Mention, ...]:
    """As the scorer of CoNLL-2000 reads them, and seqeval by default: an I behind no mention of its type opens one.

    Raises ValueError for what is no tag.
    """
    return _mentions(tags, lenient=True)


def strict(tags: Sequence[str]) -> tuple[Mention, ...]:
    """As IOB2 has it, and seqeval's strict mode: only B opens a mention; an I behind none of its type is O.

    Raises ValueError for what is no tag.
    """
    return _mentions(tags, lenient=False)


def tags(mentions: Sequence[Mention], tokens: int) -> list[str]:
    """IOB2 tags of mentions that share no token; raises ValueError where two do or one lies beyond the tokens."""
    found = ["O"] * tokens
    for start, end, kind in mentions:
        if not 0 <= start < end <= tokens or found[start:end] != ["O"] * (end - start):
            raise ValueError(
                f"tokens {start} to {end} of {tokens} cannot be tagged: another mention is there, or no token"
            )
        suffix = f"-{kind}" if kind else ""
        found[start:end] = [f"B{suffix}"] + [f"I{suffix}"] * (end - start - 1)
    return found


def _mentions(tags: Sequence[str], *, lenient: bool) -> tuple[Mention, ...]:
    mentions: list[Mention] = []
    opened, kind = -1, ""  # where the mention in progress begins, -1 without any; its type
    for place, tag in enumerate(tags):
        if tag == "O":
            letter, type_ = "O", ""
        elif tag[:1] in ("B", "I") and tag[1:2] in ("", "-"):
            letter, type_ = tag[0], tag[2:]
        else:
            raise ValueError(f"tag {place} is {tag!r}: needs O, or B or I, with - and a type behind it or alone")
        if opened >= 0 and not (letter == "I" and type_ == kind):
            mentions.append(Mention(opened, place, kind))
            opened = -1
        if letter == "B" or (letter == "I" and opened < 0 and lenient):
            opened, kind = place, type_
    if opened >= 0:
        mentions.append(Mention(opened, len(tags), kind))
    return tuple(mentions)
