from bioinstruct_jax import schema
from bioinstruct_jax.config import Train


def test_every_key_says_what_it_means():
    # Mutation: a key of config.py without a description
    silent = [key.name for key in schema.keys(Train) if not key.description and not schema.fields(key.kind)]
    assert silent == []
    assert len({key.name for key in schema.keys(Train)}) == len(list(schema.keys(Train)))


def test_every_section_says_what_it_is():
    for key in schema.keys(Train):
        if schema.fields(key.kind):
            assert schema.bare(key.kind).__doc__.strip()


def test_types_in_words():
    words = {key.name: schema.word(key.kind) for key in schema.keys(Train)}
    assert "VALUE" not in "".join(words.values())
    assert words["training.steps"] == "INT|null"
    assert words["optimizer.learning_rate"] == "NUMBER"
    assert words["lora.rslora"] == "true|false"
    assert words["model.dtype"] == "float32|bfloat16"
    assert words["data.sources.N.columns"] == "MAPPING"
    assert words["model.shape"] == "SECTION|null"


def test_what_is_below_a_key():
    assert schema.bare(schema.child(Train, "seed")) is int
    assert schema.child(Train, "nothing") is None
    sources = schema.child(schema.child(Train, "data"), "sources")
    assert "path" in schema.fields(schema.child(sources, "12"))
    for word in ("-1", "path", "", "\u0663"):  # the last is a digit, but not one of ours
        assert schema.child(sources, word) is None
