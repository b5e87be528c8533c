"""A conversation, and the prompt template in which it is held."""

from dataclasses import dataclass

from bioinstruct_jax.data import prompts
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.interop import wording
from bioinstruct_jax.interop.peft_adapter import PROMPT
from bioinstruct_jax.interop.wording import Words


def choose_template(name: str | None, words: Words, rows: int) -> tuple[prompts.Template, list[str]]:
    """The template to talk in, and warnings for who reads the answers.

    Args:
        name: what the user asks for; None: the recorded one, or else the tokenizer's own, or else alpaca.
        words: of a model with a tokenizer.
        rows: of its embedding.

    Raises:
        ValueError: a template that the tokenizer cannot write.
    """
    assert words.template is not None  # there is one where there is a tokenizer
    tokenizer = words.template.tokenizer
    if words.record is not None:
        if name in (None, words.template.name):
            return words.template, wording.notes(words, rows)
        return prompts.template(name, tokenizer), [
            f"it was trained with the template {words.template.name}; with {name}, answers can be much worse"
        ]
    if name is not None:
        return prompts.template(name, tokenizer), []
    unknown = f"no {PROMPT} says which template it was trained with"
    choose = "--template=... chooses another"
    if tokenizer.chat_template is None:
        return words.template, [f"{unknown}; this is {words.template.name}; {choose}"]
    try:
        return prompts.template("tokenizer", tokenizer), [f"{unknown}; this is the tokenizer's own; {choose}"]
    except ValueError as error:
        return words.template, [f"{unknown}; this is {words.template.name}, since {error}; {choose}"]


@dataclass
class Conversation:
    """What was said so far, and what becomes of an instruction because of it.

    Raises ValueError if the template has no place for the system text.

    Attributes:
        history: earlier turns as (user, assistant), for a template that has a place for them.
        input: text that the next instruction is about.
    """

    template: prompts.Template
    system: str = ""
    history: tuple[tuple[str, str], ...] = ()
    input: str = ""

    def __post_init__(self) -> None:
        try:
            self.prompt("x")
        except ValueError as error:
            raise ValueError(f"--system: {error}") from error

    @property
    def remembers(self) -> bool:
        """Whether the template can carry earlier turns."""
        try:
            prompts.render(Record("", "x", "", "", history=(("x", "x"),)), self.template, with_answer=False)
        except ValueError:
            return False
        return True

    def prompt(self, instruction: str) -> tuple[prompts.Piece, ...]:
        """The pieces of a prompt, as training would write them. Raises ValueError if the template refuses it."""
        record = Record("", instruction, self.input, "", system=self.system, history=self.history)
        return tuple(prompts.render(record, self.template, with_answer=False))

    def answered(self, instruction: str, text: str) -> None:
        """Take note of an answer; one without a word is forgotten, for no training row has an empty turn."""
        if self.remembers and text.strip():
            self.history += ((f"{instruction}\n\n{self.input}".strip(), text),)
        self.input = ""
