import json
from urllib.parse import quote

from bioinstruct_jax.api.redact import SIGN, Redactor

KEY = "sk-Test/plus+123456"


def test_a_key_is_taken_out_however_it_is_written():
    # Mutation: without the escaped patterns the fourth and fifth stay.
    redact = Redactor([KEY, "EMPTY"])
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    for text in (
        KEY,
        f"Bearer {KEY}.",
        quote(KEY, safe=""),
        KEY.replace("/", "\\/"),
        escaped,
        escaped.upper().replace("U", "u"),
    ):
        found = redact(json.dumps({"body": text}))
        assert SIGN in found, text
        assert json.loads(found), "what is left is still JSON"
        inner = json.loads(found)["body"]
        assert KEY not in inner
    assert KEY not in json.loads('"' + redact(f"x{escaped}y") + '"')


def test_words_that_are_no_secret_stay():
    redact = Redactor(["EMPTY", ""])
    assert redact("the list is EMPTY \\u0045") == "the list is EMPTY \\u0045"


def test_long_text_with_escapes_is_left_alone():
    text = json.dumps("é ü \n " * 20_000)
    assert Redactor([KEY])(text) == text
