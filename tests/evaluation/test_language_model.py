import pytest

from bioinstruct_jax.evaluation.language_model import CompletionRequest


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"max_tokens": 0}, "max_tokens 0"),
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.1}, "top_p 1.1"),
        ({"top_k": -1}, "top_k -1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty 0.0"),
        ({"seed": -1}, "seed -1"),
        ({"stop": "###"}, "stop '###'"),
        ({"stop": ("",)}, "stop"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, named):
    with pytest.raises(ValueError, match=named):
        CompletionRequest("a", **wrong)
