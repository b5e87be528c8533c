"""Try an adapter or a model in a terminal: answers appear as they are written, in the prompt template of the training.

Without a terminal each line of standard input is an instruction, and standard output holds the answers alone.

Exit code: 0 ended, 1 an instruction from a pipe had no answer, 2 unusable input, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax import files, platforms, settings
from bioinstruct_jax.config import Float, Int, Natural, Positive, TemplateName, Train, config
from bioinstruct_jax.config_types import AdapterPlace, ModelPlace
from bioinstruct_jax.evaluation.language_model import Completion, CompletionRequest, TooLong
from bioinstruct_jax.interrupt import leave
from bioinstruct_jax.reporting.terminal import harmless, lines, say, undecoded
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from bioinstruct_jax.inference.conversation import Conversation
    from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
    from bioinstruct_jax.inference.loaded import Loaded

EXAMPLES = (
    "--adapter=runs/tiny",
    "--model=/models/llama-2-7b --adapter=my/adapter --temperature=0.7 --top_p=0.9",
    "--model=runs/small_cpu/model --max_tokens=64 < instructions.txt > answers.txt",
)
COMMANDS = """\
/input TEXT   the text that the next instruction is about; /input alone takes it back
/new          forget the conversation
/help         this
/quit         end; so does Ctrl-D
Ctrl-C stops an answer. A line that ends in \\ goes on in the next. A blank before a / makes the line an instruction."""
PATIENCE = 1.0  # seconds without a word after which the reader is told why


@config
class Chat:
    """A chat."""

    model: ModelPlace = None
    adapter: AdapterPlace = None
    template: Annotated[
        TemplateName | None,
        Field(description="null: the one it was trained with, else the tokenizer's own chat template, else alpaca"),
    ] = None
    system: Annotated[str, Field(description="system text, for templates that have a place for it")] = ""
    max_tokens: Annotated[Positive, Field(description="longest answer, in tokens")] = 256
    temperature: Annotated[Float, Field(ge=0, description="0: always the likeliest token; else samples")] = 0.0
    top_k: Annotated[Natural, Field(description="sample among so many likeliest tokens; 0: all")] = 0
    top_p: Annotated[Float, Field(gt=0, le=1, description="sample among the likeliest, so probable together")] = 1.0
    repetition_penalty: Annotated[Float, Field(gt=0, description="above 1: tokens seen before get less likely")] = 1.0
    seed: Annotated[Int, Field(ge=0, lt=2**32, description="of the first answer; each further one takes the next")] = 0
    dtype: Annotated[
        Literal["float32", "bfloat16"] | None,
        Field(description="of weights, products and cache; null: float32 on a CPU, else bfloat16"),
    ] = None
    context: Annotated[Positive | None, Field(description="longest prompt with answer; null: the model's own")] = None

    @model_validator(mode="after")
    def _complete(self) -> Chat:
        if self.model is None and self.adapter is None:
            raise ValueError("nobody to talk to: give --adapter=FOLDER, --model=FOLDER, or both")
        if self.temperature == 0 and (self.top_k, self.top_p) != (0, 1.0):
            raise ValueError("top_k and top_p mean nothing at temperature 0; give --temperature, e.g. 0.7")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        job, _ = settings.load(argv, Verb("chat", " ".join((__doc__ or "").split()), EXAMPLES), Chat, settings.NoExtras)
        platforms.settle("auto")
        return run(job)
    except BrokenPipeError:  # whoever read the answers has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def run(job: Chat) -> int:
    """Load the model, then answer until standard input ends; returns 1 if a line of a pipe had no answer, else 0.

    Raises:
        ValueError: for files that cannot be used or do not belong together, or a system text without a place.
        OSError: for a model or adapter that is not there.
        KeyboardInterrupt: Ctrl-C, except while an answer is written to somebody at a terminal.
    """
    if sys.stdin is None:
        raise ValueError("standard input is closed; there are no instructions to read")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows ? for it

    import jax

    from bioinstruct_jax.inference.conversation import Conversation, choose_template
    from bioinstruct_jax.inference.load import load, longest_context
    from bioinstruct_jax.interop import locate
    from bioinstruct_jax.reporting.progress import Progress

    # ---------------------------------------------------------------- the model and its template
    with Progress() as progress:
        progress.phase("loading")
        dtype = job.dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16")
        model = locate.whole_model(job.model) if job.model else None
        loaded = load(model, job.adapter, dtype=dtype, slots=1, context=job.context)
    shape, context = loaded.language_model.engine.shape, loaded.language_model.context
    template, notes = choose_template(job.template, loaded.words, shape.vocab_size or 0)
    talk = Conversation(template, job.system)
    longest = longest_context(shape)
    if context > longest:
        notes.append(f"a context of {context} tokens is more than the {longest} that the base was made for")

    # ---------------------------------------------------------------- what one should know
    who = f"{loaded.adapter} on {loaded.base}" if loaded.adapter else str(loaded.base)
    say(f"{who}: template {template.name}, {dtype}, context of {context} tokens")
    for note in notes:
        say(f"warning: {note}")
    if random_base(loaded):
        say("The base has random weights and never read a text: what it writes means nothing.")
    say("Not for clinical use.")
    interactive = sys.stdin.isatty()
    if interactive:
        say("/help lists the commands. " + ("" if talk.remembers else "Each instruction is answered by itself."))

    # ---------------------------------------------------------------- instruction, answer
    asked = failed = 0
    lost = ""  # which /input could not be read, as long as nothing took its place
    for number, line in lines():
        where = "" if interactive else f"line {number}: "
        name = line.split()[0] if line.startswith("/") else ""
        if name == "/quit":
            break
        lower, wrong = undecoded(line)
        if wrong:
            say(f"error: {'' if interactive else f'line {number + lower}: '}{wrong}; write it as UTF-8")
            failed += 1
            if name == "/input":
                talk.input, lost = "", "the /input before it" if interactive else f"the /input of line {number}"
        elif name:
            known = command(line, talk, where)
            failed += not known
            lost = "" if known and name in ("/input", "/new") else lost
        elif line.strip() and lost:
            say(f"error: {where}not answered, for {lost} could not be read; write that again, or /new")
            failed += 1
        elif line.strip():
            failed += not answer(line.strip(), talk, loaded, job, asked, where)
        asked += not name and bool(line.strip())
    return int(failed > 0 and not interactive)


# -------------------------------------------------------------------- which model


def random_base(loaded: Loaded[JaxLanguageModel]) -> bool:
    """Whether the base is the random one that a run of ours made for its adapter."""
    file = loaded.base.parent / "config.yaml"
    if loaded.base.name != "base" or not file.exists():
        return False
    try:
        return settings.loads(files.read_text(file), job=Train, where=str(file)).model.weights == "random"
    except ValueError:  # another program's, or of another version: then it is not known
        return False


# -------------------------------------------------------------------- what a person writes


def command(line: str, talk: Conversation, where: str) -> bool:
    """Do what a line that begins with a slash says; false if it says nothing known, which is told with `where`."""
    name, *rest = line.split(maxsplit=1)
    text = "".join(rest).strip()
    if name == "/input":
        talk.input = text
        say(f"[the next instruction is about these {len(text)} characters]" if text else "[no input]")
    elif name == "/new" and not text:
        say(f"[forgotten: {len(talk.history)} turns{' and the input' if talk.input else ''}]")
        talk.history, talk.input = (), ""
    elif name == "/help" and not text:
        say(COMMANDS)
    else:
        advice = "/help lists them, and a blank before the / makes it an instruction"
        say(f"error: {where}unknown command {line!r}; {advice}")
        return False
    return True


def answer(
    instruction: str, talk: Conversation, loaded: Loaded[JaxLanguageModel], job: Chat, number: int, where: str
) -> bool:
    """Write the answer to an instruction while it is made; false, with a line that says why, if there is none.

    Args:
        number: of instructions before this one.
        where: it stands, in standard input; empty for what somebody writes at a terminal.

    Raises:
        KeyboardInterrupt: Ctrl-C, unless somebody is at a terminal: then it ends the answer alone.
    """
    written = ""
    result: Completion | TooLong | None = None
    waiting = threading.Timer(
        PATIENCE, say, ["[reading, or compiling for a longer text ...]" if number else "[compiling ...]"]
    )
    waiting.daemon = True

    def show(_: int, text: str) -> None:
        nonlocal written
        waiting.cancel()
        written += text
        sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    try:
        request = CompletionRequest(
            talk.prompt(instruction),
            job.max_tokens,
            stop_tokens=(talk.template.end,),
            temperature=job.temperature,
            top_k=job.top_k,
            top_p=job.top_p,
            repetition_penalty=job.repetition_penalty,
            seed=(job.seed + number) % 2**32,
        )
        waiting.start()
        (result,) = loaded.language_model.complete([request], on_text=show)
    except KeyboardInterrupt:
        if where:
            raise
    except ValueError as error:  # text that is no Unicode, or a conversation that a chat template refuses
        say(f"error: {where}{str(error).removeprefix('request 0: ')}")
        return False
    finally:
        waiting.cancel()
        if not isinstance(result, TooLong) and (result or written) and not written.endswith("\n"):
            print(flush=True)
    if isinstance(result, TooLong):
        advice = "/new forgets the earlier turns" if talk.history else "shorten it, or the input (/input)"
        said = f"the prompt has {result.tokens} tokens, the context {result.limit}; nothing was cut; {advice}"
        say(f"error: {where}{said}")
        return False
    talk.answered(instruction, written)
    say_end(result, job, written, bool(talk.history))
    return True


def say_end(result: Completion | None, job: Chat, written: str, remembered: bool) -> None:
    """Say why an answer ended, unless the model ended it."""
    if result is None:
        kept = "; what is written stays in the conversation" if remembered and written.strip() else ""
        say(f"[stopped{kept}]")
    elif result.finish == "length":
        say(f"[stopped after {result.tokens} tokens; --max_tokens={job.max_tokens}]")
    elif result.finish == "context":
        say(f"[stopped after {result.tokens} tokens: the context is full{'; /new begins anew' if remembered else ''}]")
    elif not written.strip():
        say("[an empty answer]")


if __name__ == "__main__":
    leave(main())  # after Ctrl-C, XLA may be amid work over which a tidy end crashes
