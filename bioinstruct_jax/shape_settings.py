"""The settings of a LLaMA's size, under the names of Hugging Face's ``config.json``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.config_types import Flag, Float, Positive, config


@config
class RopeScaling:
    """How rotary frequencies are stretched beyond the original context; the names are those of ``config.json``."""

    rope_type: Annotated[Literal["linear", "dynamic", "llama3"], Field(description="which rule stretches them")]
    factor: Annotated[Float, Field(gt=0, description="how many times longer the context becomes")]
    low_freq_factor: Annotated[Float | None, Field(description="llama3 only: below this frequency all is scaled")] = (
        None
    )
    high_freq_factor: Annotated[Float | None, Field(description="llama3 only: above it nothing is scaled")] = None
    original_max_position_embeddings: Annotated[
        Positive | None, Field(description="llama3 only: the context the base was trained with")
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> "RopeScaling":
        bands = (self.low_freq_factor, self.high_freq_factor, self.original_max_position_embeddings)
        if self.rope_type == "llama3" and None in bands:
            raise ValueError(
                "rope_type llama3 needs low_freq_factor, high_freq_factor and original_max_position_embeddings"
            )
        low, high = self.low_freq_factor, self.high_freq_factor
        if low is not None and high is not None and not 0 < low <= high:
            raise ValueError(f"low_freq_factor {low}, high_freq_factor {high}: 0 < low <= high is needed")
        if self.rope_type != "llama3" and bands != (None, None, None):
            raise ValueError(
                "low_freq_factor, high_freq_factor and original_max_position_embeddings mean nothing for rope_type "
                f"{self.rope_type}"
            )
        return self


@config
class Shape:
    """The size of a LLaMA, under the names of Hugging Face's ``config.json``."""

    vocab_size: Annotated[Positive | None, Field(description="rows of the embedding; null: the tokenizer's size")] = (
        None
    )
    hidden_size: Annotated[Positive, Field(description="width of the residual stream")]
    intermediate_size: Annotated[Positive, Field(description="width of the SwiGLU layer")]
    num_hidden_layers: Annotated[Positive, Field(description="number of layers")]
    num_attention_heads: Annotated[Positive, Field(description="query heads")]
    num_key_value_heads: Annotated[
        Positive | None, Field(description="key and value heads; null: as many as query")
    ] = None
    head_dim: Annotated[Positive | None, Field(description="size of a head; null: hidden_size / heads")] = None
    max_position_embeddings: Annotated[Positive, Field(description="longest context of the base, in tokens")] = 2048
    rms_norm_eps: Annotated[Float, Field(gt=0, description="epsilon of RMSNorm")] = 1e-5
    rope_theta: Annotated[Float, Field(gt=0, description="base of the rotary frequencies")] = 10000.0
    rope_scaling: Annotated[RopeScaling | None, Field(description="null: plain rotary positions")] = None
    tie_word_embeddings: Annotated[Flag, Field(description="the head is the embedding, transposed")] = False
    attention_bias: Annotated[Flag, Field(description="q, k, v and o have a bias")] = False
    mlp_bias: Annotated[Flag, Field(description="gate, up and down have a bias")] = False
    initializer_range: Annotated[Float, Field(gt=0, description="standard deviation of random weights")] = 0.02

    @model_validator(mode="after")
    def _consistent(self) -> "Shape":
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}; "
                "give head_dim"
            )
        if self.num_attention_heads % self.key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is no multiple of "
                f"num_key_value_heads {self.key_value_heads}"
            )
        if self.head_size == 2 and self.rope_scaling and self.rope_scaling.rope_type == "dynamic":
            raise ValueError("head_dim 2 cannot be stretched dynamically: its only frequency is 1")
        if self.head_size % 2:
            raise ValueError(f"head_dim {self.head_size} is odd; rotary positions need an even one")
        return self

    @property
    def key_value_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads
