"""Records to prompts: one function for training, evaluation and export.

A rendered prompt is a list of pieces. A control piece is one special token; a text piece is data, whatever it looks
like.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from bioinstruct_jax.config import TEMPLATES
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import control_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# https://github.com/tatsu-lab/stanford_alpaca, train.py, PROMPT_DICT; the answer follows the colon directly
ALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
ALPACA_NO_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
# Rohanian et al., 2024: "### Instruction: {i}\n ### Input: {x}\n ### Output: {y} \n</s>". The published code has no
# second form, so an empty input leaves an empty line. The blank before the answer belongs to the answer.
MEDTUNED_PROMPT = "### Instruction: {instruction}\n ### Input: {input}\n ### Output:"
MEDTUNED_ANSWER = " {output} \n"
LLAMA3_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA_DATE = "26 Jul 2024"  # the fixed default of Llama 3's own templates: a prompt must not depend on the day


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: text, or one control token; `target` if the loss is on it."""

    text: str
    control: bool = False
    target: bool = False


@dataclass(frozen=True)
class Template:
    """How a record becomes a prompt, for one tokenizer.

    `bos` begins a prompt (None: the tokenizer has none), `end` ends an answer, `hash` is the sha256 (hex) of everything
    the template writes, with the tokenizer's own jinja source for the template ``tokenizer``.
    """

    name: str
    bos: str | None
    end: str
    hash: str
    tokenizer: PreTrainedTokenizerFast = field(repr=False, compare=False)

    def record(self) -> dict[str, str]:
        """What travels with an adapter: name, hash, and the text around a row's fields, with its control tokens."""
        shown = {"name": self.name, "hash": self.hash}
        for key, with_input in (("with_input", "{input}"), ("without_input", "")):
            row = Record(id="", instruction="{instruction}", input=with_input, output="{output}")
            shown[key] = "".join(piece.text for piece in render(row, self))
        return shown


def template(name: str, tokenizer: PreTrainedTokenizerFast) -> Template:
    """The template called `name` (see ``config.TEMPLATES``) with the control tokens of `tokenizer`.

    Raises:
      ValueError: an unknown name, special tokens that the vocabulary lacks, or a chat template that cannot be used.
    """
    bos, end, source = tokenizer.bos_token, tokenizer.eos_token, ""
    if name == "llama3":
        control = control_tokens(tokenizer)
        missing = [token for token in LLAMA3_TOKENS if token not in control]
        if missing:
            raise ValueError(
                f"template llama3 needs {', '.join(missing)}, which are no special tokens of this tokenizer; "
                "choose alpaca, or a tokenizer of Llama 3"
            )
        bos, end = LLAMA3_TOKENS[0], LLAMA3_TOKENS[3]
    elif name == "tokenizer":
        try:
            source = tokenizer.get_chat_template()
        except ValueError as error:
            raise ValueError("template 'tokenizer': this tokenizer has no chat template; choose another") from error
        _, answer = _chat(tokenizer, source, False, 0)
        end = answer[-1].text
    elif name not in TEMPLATES:
        raise ValueError(f"unknown template {name!r}; the templates are {', '.join(TEMPLATES)}")
    if end is None:
        raise ValueError(f"template {name} ends an answer with the EOS token, and the tokenizer has none")
    unhashed = Template(name=name, bos=bos, end=end, hash="", tokenizer=tokenizer)
    digest = hashlib.sha256(json.dumps([name, source, _probe(unhashed)]).encode()).hexdigest()
    return Template(name=name, bos=bos, end=end, hash=digest, tokenizer=tokenizer)


def _probe(template: Template) -> list:
    """What a template writes for every kind of record: its definition, whatever code or jinja it comes from."""
    written: list[list] = []
    for with_input in ("", "X"):
        for system in ("", "S"):
            for history in ((), (("U", "A"),)):
                record = Record(
                    id="", instruction="I", input=with_input, output="O", system=system, history=tuple(history)
                )
                try:
                    pieces = render(record, template)
                    written.append([[piece.text, piece.control, piece.target] for piece in pieces])
                except ValueError:
                    written.append(["refused"])
    return written


def render(record: Record, template: Template, *, with_answer: bool = True) -> list[Piece]:
    """Renders a record: the prompt, and with `with_answer` the answer and its end token, which alone are targets.

    Without the answer the pieces are exactly the beginning of those with it. Chat templates strip white space around
    each message, as Meta's code does.

    Raises:
      ValueError: the template cannot carry the record's system text or history or its empty instruction, or the answer
        is empty.
    """
    if not record.instruction and template.name != "text":
        raise ValueError(f"template {template.name} needs an instruction; a row of text alone needs template text")
    match template.name:
        case "alpaca" | "medtuned" | "text":
            prompt, answer = _plain(record, template)
        case "llama2":
            prompt, answer = _llama2(record, template)
        case "llama3":
            prompt, answer = _llama3(record, template)
        case _:
            prompt, answer = _own(record, template)
    if not with_answer:
        return prompt
    if not record.output.strip():
        raise ValueError("the output is empty")
    return prompt + answer


def _plain(record: Record, template: Template) -> tuple[list[Piece], list[Piece]]:
    for name, value in (("a system text", record.system), ("earlier turns", record.history)):
        if value:
            raise ValueError(f"template {template.name} has no place for {name}; choose a chat template")
    if template.name == "text":
        prompt = "\n".join(filter(None, (record.instruction, record.input)))
        pieces = [Piece(f"{prompt}\n")] if prompt else []
        return [*_bos(template), *pieces], [Piece(record.output, target=True), Piece(template.end, True, True)]
    if template.name == "medtuned":
        form, answer = MEDTUNED_PROMPT, MEDTUNED_ANSWER.format(output=record.output)
    else:
        form, answer = ALPACA_INPUT if record.input else ALPACA_NO_INPUT, record.output
    prompt = form.format(instruction=record.instruction, input=record.input)
    return [*_bos(template), Piece(prompt)], [Piece(answer, target=True), Piece(template.end, True, True)]


def _bos(template: Template) -> list[Piece]:
    return [Piece(template.bos, control=True)] if template.bos is not None else []


def question(instruction: str, text: str) -> str:
    """The user's message in a chat: the instruction, and behind an empty line what it is about, if anything."""
    return f"{instruction.strip()}\n\n{text.strip()}".strip()


def _llama2(record: Record, template: Template) -> tuple[list[Piece], list[Piece]]:
    """https://github.com/meta-llama/llama, generation.py, chat_completion: every turn has its own BOS and EOS."""
    users = [user.strip() for user, _ in record.history] + [question(record.instruction, record.input)]
    if record.system:
        users[0] = f"<<SYS>>\n{record.system.strip()}\n<</SYS>>\n\n{users[0]}"
    prompt: list[Piece] = []
    for user, (_, answer) in zip(users, record.history, strict=False):
        prompt += [*_bos(template), Piece(f"[INST] {user} [/INST] {answer.strip()} "), Piece(template.end, True)]
    prompt += [*_bos(template), Piece(f"[INST] {users[-1]} [/INST]")]
    return prompt, [Piece(f" {record.output.strip()} ", target=True), Piece(template.end, True, True)]


def _llama3(record: Record, template: Template) -> tuple[list[Piece], list[Piece]]:
    """https://github.com/meta-llama/llama3, tokenizer.py, ChatFormat."""
    _, start, stop, end = LLAMA3_TOKENS

    def header(role: str, text: str) -> list[Piece]:
        return [Piece(start, True), Piece(role), Piece(stop, True), Piece("\n\n" + text)]

    prompt = _bos(template)
    if record.system:
        prompt += [*header("system", record.system.strip()), Piece(end, True)]
    for user, answer in record.history:
        prompt += [*header("user", user.strip()), Piece(end, True)]
        prompt += [*header("assistant", answer.strip()), Piece(end, True)]
    prompt += [*header("user", question(record.instruction, record.input)), Piece(end, True), *header("assistant", "")]
    return prompt, [Piece(record.output.strip(), target=True), Piece(end, True, True)]


def _own(record: Record, template: Template) -> tuple[list[Piece], list[Piece]]:
    prompt, answer = _chat(
        template.tokenizer, template.tokenizer.get_chat_template(), bool(record.system), len(record.history)
    )
    texts = {_slot("user", len(record.history)): question(record.instruction, record.input)}
    texts |= {_slot("answer"): record.output.strip(), _slot("system"): record.system.strip()}
    for turn, (user, reply) in enumerate(record.history):
        texts |= {_slot("user", turn): user.strip(), _slot("assistant", turn): reply.strip()}

    def fill(pieces: tuple[Piece, ...], target: bool) -> list[Piece]:
        filled: list[Piece] = []
        for piece in pieces:
            text = piece.text if piece.control else texts.get(piece.text, piece.text)
            if filled and not piece.control and not filled[-1].control:
                filled[-1] = Piece(filled[-1].text + text, target=target)
            elif text:
                filled.append(Piece(text, piece.control, target))
        return filled

    return fill(prompt, False), fill(answer, True)


def _slot(role: str, turn: int = 0) -> str:
    return f"SLOT-{role}-{turn}-9c41e7"


@lru_cache(maxsize=256)
def _chat(
    tokenizer: PreTrainedTokenizerFast, source: str, system: bool, turns: int
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Prompt and answer as the tokenizer's jinja writes them for a conversation of slots.

    User text never passes through jinja, so that what it contains cannot become control.

    Raises:
      ValueError: the template refuses such a conversation, drops or repeats a message, changes the prompt once it is
        answered, or ends the answer with no control token.
    """
    messages = [{"role": "system", "content": _slot("system")}] if system else []
    for turn in range(turns):
        messages.append({"role": "user", "content": _slot("user", turn)})
        messages.append({"role": "assistant", "content": _slot("assistant", turn)})
    messages.append({"role": "user", "content": _slot("user", turns)})
    slots = [message["content"] for message in messages]
    answered = [*messages, {"role": "assistant", "content": _slot("answer")}]
    kind = f"{'a system text and ' if system else ''}{turns} earlier turn(s)"
    try:
        prompt, full = (
            str(
                tokenizer.apply_chat_template(
                    conversation,
                    chat_template=source,
                    tokenize=False,
                    add_generation_prompt=conversation is messages,
                    date_string=LLAMA_DATE,
                )
            )
            for conversation in (messages, answered)
        )
    except ImportError as error:
        raise ValueError(f"template 'tokenizer' needs jinja2: {error}") from error
    except Exception as error:  # whatever the jinja source itself raises
        raise ValueError(f"the tokenizer's chat template refuses a record with {kind}: {error}") from error
    lost = [slot for slot in slots if prompt.count(slot) != 1]
    if lost or full.count(_slot("answer")) != 1:
        raise ValueError(f"the tokenizer's chat template drops or repeats a message of a record with {kind}")
    if not full.startswith(prompt):
        raise ValueError(
            "the tokenizer's chat template writes another prompt once it is answered, so that training and inference "
            f"would differ: {prompt[-60:]!r} is no beginning of the answered form; choose another template"
        )
    control = control_tokens(tokenizer)
    stops = [*slots, _slot("answer"), *control]
    pattern = re.compile("|".join(re.escape(text) for text in sorted(stops, key=len, reverse=True)))

    def split(text: str) -> list[Piece]:
        cuts = [0, *(edge for match in pattern.finditer(text) for edge in match.span()), len(text)]
        parts = [text[i:j] for i, j in pairwise(cuts) if i < j]
        return [Piece(part, part in control) for part in parts]

    answer = split(full[len(prompt) :])
    place = [piece.text for piece in answer].index(_slot("answer"))
    ends = [index for index, piece in enumerate(answer) if piece.control and index > place]
    if not ends:
        raise ValueError("the tokenizer's chat template writes no special token after an answer: nothing to stop at")
    return tuple(split(prompt)), tuple(answer[: ends[0] + 1])
