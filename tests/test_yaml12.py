import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax import yaml12

WORDS = [
    "1e4",
    "1e-4",
    ".5",
    "0o17",
    "0x1F",
    "yes",
    "true",
    "null",
    "~",
    "",
    "1_0",
    "2024-01-01",
    "=",
    "<<",
    "- a",
    "a: b",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=10
)


# Mutation: without the YAML 1.2 resolvers on _Writer, the text "1e4" is written unquoted and read back as a number
@settings(max_examples=300)
@given(VALUES)
def test_what_is_written_is_read_back(value):
    read = yaml12.read(yaml12.write(value)).value
    assert read == value
    assert repr(read) == repr(value)  # 1 is not 1.0, and not True
    assert "\n" not in yaml12.inline(value)


@settings(max_examples=200)
@given(st.dictionaries(st.text(min_size=1), st.text() | st.booleans() | st.none() | st.integers(), max_size=4))
def test_yaml_1_1_readers_take_it_alike(value):
    assert yaml.safe_load(yaml12.write(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),  # Mutation: yaml.SafeLoader's own resolvers make this text
        ("1E5", 1e5),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("5.", 5.0),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),  # sixty-based in YAML 1.1
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("1e", "1e"),
        ("'3'", "3"),
        ("!!str 3", "3"),
        ("!!int '3'", 3),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
        ("~/llama", "~/llama"),
        ("gs://bucket/x", "gs://bucket/x"),
    ],
)
def test_scalars_of_yaml_1_2(text, value):
    read = yaml12.read(text).value
    assert read == value
    assert type(read) is type(value)


def test_lines_of_keys_and_items():
    document = yaml12.read("# c\na:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert document.lines == {("a",): 2, ("a", "b"): 3, ("a", "c"): 4, ("a", "c", 0): 5, ("a", "c", 1): 6} | {
        ("a", "c", 1, "y"): 6
    }


def test_an_alias_is_a_copy():
    value = yaml12.read("a: &x {b: 1}\nc: *x\n").value
    assert value == {"a": {"b": 1}, "c": {"b": 1}}
    assert value["a"] is not value["c"]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' stands twice, first on line 1"),
        ("a:\n  b: 1\n  b: 1\n", 3, "first on line 2"),
        ("a: [1, 2\nb: 3\n", 2, "expected ',' or ']'"),
        ("a: 'x\n", 2, "unexpected end of stream"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, "single document"),
        ("a: *b\n", 1, "undefined alias"),
        ("a: &x [*x]\n", 1, "alias that holds itself"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "no place in settings"),
        ("a: 1\nb: !mine 3\n", 2, "tag !mine has no place"),
        ("a: !!int x\n", 1, "cannot be read as int"),
        ("a: !!bool x\n", 1, "cannot be read as bool"),
        ("a: !!timestamp 2024-01-01\n", 1, "no place in settings"),
        ("a: !!set {b}\n", 1, "no place in settings"),
        ("? [a]\n: 1\n", 1, "not a list or mapping"),
        ("a: 1\nb: \0\n", 2, "'\\x00' is not allowed"),
        ("a: " + "9" * 5000, 1, "cannot be read as int"),
        ("[" * 5000, 1, "nested more than 50 deep"),
        ("[" * 60 + "]" * 60, 1, "nested more than 50 deep"),
        (BOMB, 1, "more than 10000 values"),  # Mutation: without the count this test never ends
    ],
)
def test_refused_with_the_line(text, line, problem):
    with pytest.raises(yaml12.YamlError) as caught:
        yaml12.read(text)
    assert problem in str(caught.value)
    assert caught.value.line == line
