"""Tokenizers of the kinds that LLaMA bases have, made on the spot."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "The patient was given 2.5 mg of warfarin; the INR rose to 3.1 two days later.",
    "Chest pain for 3 hours, no dyspnoea. Troponin 0.04 ng/mL.",
    "List every drug in the note.\nwarfarin, metoprolol, furosemide",
    "Below is an instruction. ### Instruction: ### Input: ### Response: ### Output: [INST] [/INST]",
    "system user assistant Yes. No. Not stated. fever, cough and rash since 12 March",
] * 4

LLAMA3 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level(specials: list[str]) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=500,
            show_progress=False,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return backend


@pytest.fixture(scope="session")
def llama3():
    """Byte-level BPE with the special tokens of Llama 3, one added token that is markup and one that is a word."""
    backend = byte_level(LLAMA3)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=LLAMA3[0], eos_token=LLAMA3[1])
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("pembrolizumab", special=False)])
    return tokenizer


@pytest.fixture(scope="session")
def chatml():
    """Byte-level BPE without BOS, pad equal to EOS, with a chat template of its own."""
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|endoftext|>"],
        chat_template=CHATML,
    )


@pytest.fixture(scope="session")
def llama2():
    """SentencePiece-like BPE as in Llama 2: a blank before the first word, bytes for unknown characters."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend.train_from_iterator(
        [line for text in TEXTS for line in text.split("\n")],
        trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=specials, max_token_length=8),
    )
    return _only_three_special(backend)


@pytest.fixture(scope="session")
def unigram_first():
    return unigram("first")


@pytest.fixture(scope="session")
def unigram_always():
    return unigram("always")


def unigram(scheme: str) -> PreTrainedTokenizerFast:
    """A Unigram model with Metaspace whose vocabulary lists its control tokens as words, as SentencePiece's does."""
    words = sorted({character for text in TEXTS for character in text if not character.isspace()})
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{byte:02X}>", 0.0) for byte in range(256))]
    vocabulary += [("▁", -2.0), ("▁the", -3.0), ("patient", -4.0), ("▁mg", -4.0), *((word, -6.0) for word in words)]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace(prepend_scheme="never"),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _only_three_special(backend)


def _only_three_special(backend: Tokenizer) -> PreTrainedTokenizerFast:
    tree = json.loads(backend.to_str())
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] in ("<unk>", "<s>", "</s>")]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(tree)), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
