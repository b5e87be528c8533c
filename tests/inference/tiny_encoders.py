"""Encoders of a few thousand random weights, with tokenizers, saved as the hub has them."""

from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel, RobertaTokenizer

TEXTS = (
    "The patient has a fever and a dry cough.",
    "Fever, cough; no rash on the patient's skin.",
    "What is a diet for gout?",
)
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
LONGEST = 40


def bert(folder: Path, *, longest: int | None = LONGEST) -> str:
    """A BERT; `longest`: what its tokenizer says of itself, None: nothing."""
    characters = sorted({one for text in TEXTS for one in text.lower() if one.strip()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "fever", "cough", *characters, *(f"##{one}" for one in characters)]
    made = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    limit = {} if longest is None else {"model_max_length": longest}
    PreTrainedTokenizerFast(tokenizer_object=made, **names, **limit).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=LONGEST, initializer_range=0.2, **SIZES)
    BertModel(config).save_pretrained(folder)
    return str(folder)


def roberta(folder: Path, *, space: bool) -> str:
    """A RoBERTa; `space`: whether its tokenizer puts one in front of a text by itself."""
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(TEXTS, vocab_size=320, special_tokens=special, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    tokenizer = RobertaTokenizer.from_pretrained(folder, model_max_length=LONGEST, add_prefix_space=space)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = RobertaConfig(vocab_size=320, max_position_embeddings=LONGEST + 2, initializer_range=0.2, **ids, **SIZES)
    RobertaModel(config).save_pretrained(folder)
    return str(folder)
