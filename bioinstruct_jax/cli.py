"""The `bioinstruct` command: `bioinstruct <verb> ...` is `python -m bioinstruct_jax.<verb> ...`."""

import difflib
import sys
from typing import NoReturn

from bioinstruct_jax.reporting.terminal import put


def train(words: list[str]) -> int:
    """instruction-tune a LLaMA with LoRA, or in full"""
    from bioinstruct_jax import train

    return train.main(words)


def prepare(words: list[str]) -> int:
    """make instruction rows of biomedical corpora"""
    from bioinstruct_jax import prepare

    return prepare.main(words)


def generate(words: list[str]) -> int:
    """have a teacher write instructions from seed tasks"""
    from bioinstruct_jax import generate

    return generate.main(words)


def evaluate(words: list[str]) -> int:
    """score models on biomedical tasks, with intervals and paired tests"""
    from bioinstruct_jax import evaluate

    return evaluate.main(words)


def study(words: list[str]) -> int:
    """run a grid of both: which instructions help which tasks"""
    from bioinstruct_jax import study

    return study.main(words)


def export(words: list[str]) -> int:
    """merge an adapter into its base, or ask if vLLM takes it"""
    from bioinstruct_jax import export

    return export.main(words)


def chat(words: list[str]) -> int:
    """try an adapter or a model in a terminal"""
    from bioinstruct_jax import chat

    return chat.main(words)


def plan(words: list[str]) -> int:
    """say if a job fits a TPU slice or a GPU, and how long it takes"""
    from bioinstruct_jax import plan

    return plan.main(words)


def demo(words: list[str]) -> int:
    """try all of it in minutes, offline, on rows that a script writes"""
    from bioinstruct_jax import demo

    return demo.main(words)


VERBS = {
    "generate": generate,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "study": study,
    "plan": plan,
    "export": export,
    "chat": chat,
    "demo": demo,
}


def run() -> NoReturn:
    """The command `bioinstruct`."""
    code = main()
    if sys.argv[1:2] == ["chat"]:
        from bioinstruct_jax.interrupt import leave

        leave(code)  # as chat itself does
    sys.exit(code)


USAGE = """\
usage: bioinstruct <verb> [CONFIG.yaml] [--key=value ...]

Instruction tuning of LLaMA for biomedical language processing, native to JAX and TPU.

verbs:
{verbs}

  bioinstruct <verb> --help    every setting of a verb
  bioinstruct --version        the version installed"""


def main(words: list[str] | None = None) -> int:
    """Run the verb that the first word names; returns its exit code, 2 for a command line that names none."""
    words = sys.argv[1:] if words is None else words
    usage = USAGE.format(verbs="\n".join(f"  {name:<12}{verb.__doc__}" for name, verb in VERBS.items()))
    match words[:1]:
        case ["-h" | "--help"]:
            put(usage)
            return 0
        case ["--version"]:
            from bioinstruct_jax import __version__

            put(f"bioinstruct-jax {__version__}")
            return 0
        case []:
            print(usage, file=sys.stderr)
            return 2
        case [name] if name in VERBS:
            return VERBS[name](words[1:])
    near = difflib.get_close_matches(words[0], VERBS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(VERBS)}"
    print(f"bioinstruct: unknown verb {words[0]!r}; {hint}", file=sys.stderr)
    return 2
