import dataclasses

import pytest

from bioinstruct_jax.config import TEMPLATES
from bioinstruct_jax.data.prompts import Piece, render, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import train

PLAIN = Record("r1", "List every drug in the note.", "Started on warfarin 2.5 mg.", "warfarin")
BARE = dataclasses.replace(PLAIN, input="")
CHAT = dataclasses.replace(
    PLAIN, system="Answer as a pharmacist.", history=(("Is 2.5 mg a usual dose? ", " It can be."),)
)


@pytest.fixture(scope="module")
def small():
    return train([], 258)


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_alpaca_is_the_published_text(small):
    # Mutation: "\n" after "### Response:"
    alpaca = template("alpaca", small)
    assert text(render(PLAIN, alpaca)) == (
        "<s>Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nList every drug in the note.\n\n"
        "### Input:\nStarted on warfarin 2.5 mg.\n\n### Response:warfarin</s>"
    )
    assert text(render(BARE, alpaca)) == (
        "<s>Below is an instruction that describes a task. Write a response that appropriately completes the "
        "request.\n\n### Instruction:\nList every drug in the note.\n\n### Response:warfarin</s>"
    )


def test_medtuned_is_the_published_text(small):
    medtuned = template("medtuned", small)
    assert text(render(PLAIN, medtuned)) == (
        "<s>### Instruction: List every drug in the note.\n ### Input: Started on warfarin 2.5 mg.\n"
        " ### Output: warfarin \n</s>"
    )
    assert text(render(BARE, medtuned)).endswith("note.\n ### Input: \n ### Output: warfarin \n</s>")


def test_llama2_is_metas_text(small):
    llama2 = template("llama2", small)
    assert text(render(CHAT, llama2)) == (
        "<s>[INST] <<SYS>>\nAnswer as a pharmacist.\n<</SYS>>\n\nIs 2.5 mg a usual dose? [/INST] It can be. </s>"
        "<s>[INST] List every drug in the note.\n\nStarted on warfarin 2.5 mg. [/INST] warfarin </s>"
    )


def test_llama3_is_metas_text(llama3):
    form = template("llama3", llama3)
    assert text(render(CHAT, form)) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nAnswer as a pharmacist.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nIs 2.5 mg a usual dose?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nIt can be.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nList every drug in the note.\n\n"
        "Started on warfarin 2.5 mg.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nwarfarin<|eot_id|>"
    )
    assert form.end == "<|eot_id|>"


def test_own_template_is_what_transformers_renders(chatml):
    form = template("tokenizer", chatml)
    messages = [
        {"role": "system", "content": CHAT.system},
        {"role": "user", "content": CHAT.history[0][0]},
        {"role": "assistant", "content": CHAT.history[0][1]},
        {"role": "user", "content": f"{CHAT.instruction}\n\n{CHAT.input}"},
    ]
    prompt = chatml.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text(render(CHAT, form, with_answer=False)) == prompt
    assert text(render(CHAT, form)) == prompt + "warfarin<|im_end|>"
    assert form.end == "<|im_end|>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_is_the_beginning_and_only_the_last_answer_is_target(name, request, small):
    # trl#976, trl#6357, unsloth#416.
    tokenizer = {"llama3": "llama3", "tokenizer": "chatml"}.get(name)
    form = template(name, request.getfixturevalue(tokenizer) if tokenizer else small)
    for record in [PLAIN, BARE] if name in ("alpaca", "medtuned", "text") else [PLAIN, BARE, CHAT]:
        prompt, pieces = render(record, form, with_answer=False), render(record, form)
        assert pieces[: len(prompt)] == prompt
        assert not any(piece.target for piece in prompt)
        answer = pieces[len(prompt) :]
        assert all(piece.target for piece in answer)
        assert text(answer).strip().startswith("warfarin")
        # Mutation: end token without target (trl#976, the model never stops)
        assert [piece.text for piece in answer if piece.control] == [form.end]


@pytest.mark.parametrize("name", TEMPLATES)
def test_bos_opens_each_prompt_once(name, request, small):
    # open-r1#462, vllm#27515, NeMo-RL#855. Mutation: bos twice in _bos
    tokenizer = {"llama3": "llama3", "tokenizer": "chatml"}.get(name)
    form = template(name, request.getfixturevalue(tokenizer) if tokenizer else small)
    pieces = render(PLAIN, form)
    if form.bos is None:
        assert name == "tokenizer"
    else:
        assert [index for index, piece in enumerate(pieces) if piece.text == form.bos] == [0]


@pytest.mark.parametrize("name", ["alpaca", "medtuned", "text"])
@pytest.mark.parametrize(("field", "value"), [("system", "Be brief."), ("history", (("a", "b"),))])
def test_plain_templates_refuse_what_they_cannot_carry(name, field, value, small):
    with pytest.raises(ValueError, match=f"template {name} has no place for"):
        render(dataclasses.replace(PLAIN, **{field: value}), template(name, small))


def test_a_text_is_learned_whole_and_only_by_the_template_for_it(small):
    record = Record(id="1", instruction="", input="", output="Insulin lowers glucose.")
    pieces = render(record, template("text", small))
    assert [(piece.text, piece.target) for piece in pieces] == [
        (small.bos_token, False),
        ("Insulin lowers glucose.", True),
        (small.eos_token, True),
    ]
    with pytest.raises(ValueError, match="template alpaca needs an instruction"):
        render(record, template("alpaca", small))


def test_an_empty_output_is_refused(small):
    with pytest.raises(ValueError, match="output is empty"):
        render(dataclasses.replace(PLAIN, output=" \n"), template("llama2", small))


def test_llama3_names_the_missing_tokens(small):
    with pytest.raises(ValueError, match=r"needs <\|begin_of_text\|>, .*<\|eot_id\|>"):
        template("llama3", small)


@pytest.mark.parametrize(
    ("jinja", "message"),
    [
        (None, "has no chat template"),
        ("{{ messages[0]['content'] }}", "drops or repeats"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "no special token after an answer"),
        (
            "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>thinking{% endif %}",
            "another prompt once it is answered",
        ),
        ("{{ raise_exception('never') }}", "refuses a record with 0 earlier turn.*never"),
        ("{% for m in messages %}", "refuses"),
    ],
)
def test_a_chat_template_that_cannot_be_trained_on_is_refused(jinja, message, chatml):
    import copy

    tokenizer = copy.deepcopy(chatml)
    tokenizer.chat_template = jinja
    with pytest.raises(ValueError, match=message):
        template("tokenizer", tokenizer)


def test_a_chat_template_may_refuse_a_system_text(chatml):
    import copy

    tokenizer = copy.deepcopy(chatml)
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + (chatml.chat_template)
    )
    form = template("tokenizer", tokenizer)
    assert render(PLAIN, form)
    with pytest.raises(ValueError, match="no system"):
        render(CHAT, form)


def test_the_prompt_does_not_depend_on_the_day(chatml):
    # Llama 3.1's template asks for date_string and falls back to today. Mutation: no date_string in _chat
    import copy

    tokenizer = copy.deepcopy(chatml)
    tokenizer.chat_template = (
        "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ date_string }}" + chatml.chat_template
    )
    assert text(render(PLAIN, template("tokenizer", tokenizer))).startswith("26 Jul 2024")


def test_the_hash_tells_templates_and_tokenizers_apart(small, chatml):
    # LlamaFactory#2509. Mutation: hash over the name alone; source left out
    import copy

    other = copy.deepcopy(chatml)
    other.chat_template = chatml.chat_template + "{# a remark #}"
    hashes = [template(name, small).hash for name in ("alpaca", "medtuned", "llama2")]
    hashes += [template("tokenizer", chatml).hash, template("tokenizer", other).hash, template("alpaca", chatml).hash]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == template("alpaca", train([], 258)).hash


def test_an_unknown_name_lists_the_known(small):
    with pytest.raises(ValueError, match="unknown template 'vicuna'; the templates are alpaca, medtuned"):
        template("vicuna", small)
