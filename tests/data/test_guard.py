"""What may be shown of restricted text and where it may be sent; how a broken row's file is known to have some."""

import gzip
import ipaddress
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.config import Source
from bioinstruct_jax.data import guard
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.data.records import BadRow, SourceError

TEXT = "Troponin T was 0.31 ng/mL on arrival, and the ECG showed inferior ST elevation."


# -------------------------------------------------------------------- what may be shown


def test_open_text_is_shown_as_it_is():
    assert guard.shown(TEXT, False) == TEXT


@given(st.text(st.characters(codec=None), min_size=4), st.text(min_size=4))
def test_a_sign_tells_equal_texts_and_nothing_else(one, other):
    # Mutations: a random sign for each call; `text[:3]` in the sign; a lone surrogate that ends in UnicodeEncodeError.
    sign = guard.shown(one, True)
    assert sign == guard.shown(one, True)
    assert (sign == guard.shown(other, True)) == (one == other)
    assert sign.startswith("restricted, keyed hash ")
    assert len(sign) == len("restricted, keyed hash ") + 12


def test_a_sign_cannot_be_guessed_from_the_text():
    # Mutation: a key that is written in the code, or a plain sha256: the other process gives the same sign.
    code = f"from bioinstruct_jax.data import guard; print(guard.shown({TEXT!r}, True))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert printed.stdout.startswith("restricted, keyed hash ")
    assert printed.stdout.strip() != guard.shown(TEXT, True)


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [("restricted", True), (" Restricted\n", True), ("", False), ("open", False), ("unrestricted", False),
     ("non-commercial", False), ("restricted use", False)],
)  # fmt: skip
def test_the_label(licence, restricted):
    assert guard.is_restricted(licence) == restricted


# -------------------------------------------------------------------- endpoints

HERE = [
    "http://localhost",
    "http://localhost:8000/v1",
    "HTTP://LocalHost:8000/v1/",
    "https://localhost:8443/v1/chat/completions",
    "http://127.0.0.1:11434/v1",
    "http://127.255.255.254/",
    "http://127.0.1.1:8000",
    "http://[::1]:8000/v1",
    "http://[::1]",
]
ELSEWHERE = [
    "https://api.openai.com/v1",
    "http://0.0.0.0:8000/v1",
    "http://[::]:8000",
    "http://10.0.0.1",
    "http://192.168.1.5:8000/v1",
    "http://169.254.169.254/latest/meta-data",
    "http://128.0.0.1",
    "http://126.255.255.255",
    # the host is behind the @, or in front of what looks like one
    "http://127.0.0.1@evil.org",
    "http://127.0.0.1:80@evil.org/v1",
    "http://localhost:8000@evil.org",
    "http://user:secret@localhost:8000",
    "http://evil.org\\@127.0.0.1",
    "http://127.0.0.1\\@evil.org",
    "http://evil.org#@127.0.0.1/",
    "http://evil.org?@127.0.0.1/",
    "http://127.0.0.1#@evil.org/",
    "http://localhost?.evil.org/",
    "http://localhost;evil.org/",
    # names that begin or end like one of ours
    "http://localhost.evil.org",
    "http://127.0.0.1.evil.org",
    "http://127.0.0.1.nip.io",
    "http://evil-localhost",
    "http://my.localhost:8000",
    "http://localhost.",
    "http://localhost.localdomain",
    "http://localhost,evil.org",
    # other ways of writing an address, some of them this machine's: not told apart, so refused
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.0.0.1",
    "http://017700000001",
    "http://0177.0.0.1",
    "http://127.0.0.010",
    "http://127.00.0.1",
    "http://127.1",
    "http://127.0.1",
    "http://127",
    "http://0",
    "http://127.0.0.256",
    "http://127.0.0.1.",
    "http://127.0.0.1.1",
    "http://127..0.1",
    "http://[::ffff:127.0.0.1]:8000",
    "http://[::ffff:7f00:1]",
    "http://[::ffff:8.8.8.8]",
    "http://[::127.0.0.1]",
    "http://[64:ff9b::127.0.0.1]",
    "http://[::1%25eth0]",
    "http://[::1]evil.org",
    "http://[::1].evil.org",
    "http://[fe80::1]",
    "http://[::2]",
    "http://::1/",
    "http://%6c%6f%63%61%6c%68%6f%73%74",
    "http://127.0.0.%31",
    # letters and digits that are folded into ASCII, or look like it
    "http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "http://\u2460\u2461\u2466.0.0.1",
    "http://127\u3002 0\u30020\u30021".replace(" ", ""),
    "http://\u0661\u0662\u0667.0.0.1",
    "http://localho\u017ft",
    "http\u017f://localhost",
    "http://l\u043ecalhost",
    # what parsers strip, split at or take apart differently
    "",
    "localhost",
    "localhost:8000",
    "//localhost:8000",
    "/v1",
    " http://localhost",
    "http://localhost ",
    "http://localhost\n",
    "http://localhost\nHost: evil.org",
    "http://local\thost",
    "http://loca\u00adlhost",
    "http://evil.org\thttp://localhost",
    "http:///localhost",
    "http:localhost",
    "http:/localhost",
    "http://localhost:",
    "http://localhost:8000:80",
    "http://localhost:-1",
    "http://localhost:80evil.org",
    "http://localhost:\u0661",
    "http://localhost:8000/v1?url=http://evil.org",
    "http://localhost:8000/%2e%2e//evil.org",
    "http://localhost\x00.evil.org",
    "ftp://localhost",
    "file:///etc/passwd",
    "file://localhost/etc",
    "http+unix://%2ftmp%2fx",
    "ws://localhost",
    "javascript://localhost",
]


@pytest.mark.parametrize("url", HERE)
def test_this_machine_may_be_asked(url):
    guard.check_endpoint(url, restricted=3)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_other_machine_may_be_asked(url):
    # Mutations: `match` or `search` for `fullmatch`; no re.ASCII (long s, Arabic digits); a host of urlsplit compared
    # with endswith; ipaddress left out (256, leading zeros); `[0-9.]*` for the four numbers.
    with pytest.raises(guard.RestrictedError, match="restricted"):
        guard.check_endpoint(url, restricted=3)


@pytest.mark.parametrize("url", [*HERE, *ELSEWHERE])
def test_without_restricted_rows_any_endpoint_will_do(url):
    guard.check_endpoint(url, restricted=0)


@given(st.ip_addresses(v=4))
def test_every_address_is_judged_as_ipaddress_does(address):
    assert guard.is_loopback(f"http://{address}:8000/v1") == address.is_loopback
    loop = ipaddress.IPv4Address((int(address) & 0xFFFFFF) | 127 << 24)
    assert guard.is_loopback(f"http://{loop}:8000/v1")


@given(st.text("http:/localhost127.0[]@#?%\\ eviorg\t", max_size=40))
def test_what_is_let_through_has_a_loopback_host_for_other_parsers_too(tail):
    # httpx is the parser of the clients that this is for.
    import httpx

    for url in (tail, f"http://{tail}", f"http://localhost{tail}", f"http://127.0.0.1{tail}"):
        if guard.is_loopback(url):
            host = httpx.URL(url).host
            assert host == "localhost" or ipaddress.ip_address(host).is_loopback


def test_the_message_keeps_a_password_to_itself():
    with pytest.raises(guard.RestrictedError) as caught:
        guard.check_endpoint("https://me:hunter2@api.org/v1?key=hunter3#hunter4", restricted=2)
    assert "hunter" not in str(caught.value)
    assert "api.org" in str(caught.value)
    assert "localhost" in str(caught.value)


# -------------------------------------------------------------------- bad rows

GOOD = {"instruction": "Read the note.", "input": TEXT, "output": "Yes.", "licence": "restricted"}


def _written(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return Source(path=str(tmp_path / name))


def _lines(*rows):
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def _leaks(told: str) -> bool:
    words = TEXT.split()
    return any(" ".join(words[i : i + 2]) in told for i in range(len(words) - 1)) or "Troponin" in told


CUT = json.dumps(GOOD).encode()[:90]
OPEN = {"instruction": "q", "output": "a"}
BAD = {
    "restricted, output missing": ("a.jsonl", _lines({"instruction": TEXT, "licence": "restricted"}, OPEN)),
    "the text is the name of a field": ("a.jsonl", _lines({TEXT: "a", "licence": "restricted"}, OPEN)),
    "the text is a role": (
        "a.jsonl",
        _lines({"messages": [{"role": TEXT, "content": "a"}], "licence": "restricted"}, GOOD),
    ),
    "cut off before its licence, a good one behind it": ("a.jsonl", _lines(CUT, GOOD)),
    "cut off, a good one far before it": ("a.jsonl", _lines(GOOD, *[OPEN] * 40_000, CUT)),
    "one object in another": ("a.jsonl", _lines({"row": GOOD}, OPEN)),
    "a list of rows on one line": ("a.jsonl", _lines([GOOD, GOOD], OPEN)),
    "the licence is no text": ("a.jsonl", _lines(GOOD | {"licence": ["restricted"]}, OPEN)),
    "the licence is null": ("a.jsonl", _lines({"instruction": TEXT, "licence": None}, OPEN)),
    "not UTF-8": ("a.jsonl", _lines(b"\xff" + json.dumps(GOOD).encode(), OPEN)),
    "an array cut off": ("a.json", b"[" + json.dumps(GOOD).encode() + b"," + CUT),
    "CSV without a header": ("a.csv", f'1,"{TEXT}",Yes.,restricted\n2,"{TEXT} a",No.,restricted\n'.encode()),
    "CSV with a field too few": (
        "a.csv",
        f'instruction,output,licence\n"{TEXT}",restricted\nq,a,open\nb,c,restricted\n'.encode(),
    ),
    "seeds": ("a.jsonl", _lines({"id": "x", "licence": "restricted", "instances": [{"instruction": TEXT}]})),
    "compressed": ("a.jsonl.gz", gzip.compress(_lines(CUT, GOOD))),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_that_may_be_restricted_is_told_without_its_text(tmp_path, kind):
    # Mutations: `hidden` of a row without a licence False; `labelled` looking at the row alone, at the first block
    # alone, or at a .gz as it lies there; `str(why)` for `why.bare`.
    source = _written(tmp_path, *BAD[kind])
    told, bad = "", []
    try:
        for item in read(source):
            if isinstance(item, BadRow):
                bad.append(item)
    except SourceError as error:  # every row is bad
        told = str(error)
    assert bad
    assert all(one.text.startswith("restricted, keyed hash ") for one in bad)
    told += repr(bad)
    with pytest.raises(ValueError, match="line") as caught:
        mix([source], seed=0, on_bad_row="raise")
    assert not _leaks(told + str(caught.value))


def test_bad_rows_of_open_files_are_shown_as_ever(tmp_path):
    # Mutation: `hidden` always True. The word alone, in a text, is no label.
    diet = {"instruction": "A restricted diet?", "output": 'It is "restricted", so to speak.'}
    source = _written(tmp_path, "a.jsonl", _lines(diet, OPEN, CUT, {"instruction": "only"}))
    bad = [item for item in read(source) if isinstance(item, BadRow)]
    assert bad[0].text.startswith('{"instruction": "Read the note.')
    assert bad[1].reason == "missing field 'output' (found: 'instruction')"


def test_an_open_row_beside_restricted_ones_is_shown(tmp_path):
    source = _written(tmp_path, "a.jsonl", _lines(GOOD, {"instruction": "only this", "licence": "open"}))
    (bad,) = (item for item in read(source) if isinstance(item, BadRow))
    assert "only this" in bad.text


def test_a_column_without_rows_and_a_category_without_rows_are_told_without_text(tmp_path):
    # Mutations: the keys of the first row as they are; the categories of restricted rows by name.
    row = GOOD | {TEXT: "a"}
    file = _written(tmp_path, "a.jsonl", _lines(row))
    for more in ({"columns": {"system": "nowhere"}}, {"columns": {"category": "input"}, "categories": ("IE",)}):
        with pytest.raises(SourceError, match=r"nowhere|IE") as caught:
            mix([Source(path=file.path, **more)], seed=0, on_bad_row="raise")
        assert not _leaks(str(caught.value))


def test_a_row_that_stands_where_a_header_should_is_not_quoted(tmp_path):
    # Mutation: every name that is there twice as it is.
    source = _written(tmp_path, "a.csv", f'"{TEXT}","{TEXT}",restricted\n'.encode())
    with pytest.raises(SourceError, match=r"a sentence .* twice") as caught:
        list(read(source))
    assert not _leaks(str(caught.value))


def test_the_label_is_found_across_blocks_and_in_a_file_that_ends_early(tmp_path):
    # Mutation: nothing kept of the block before.
    for before in range((1 << 20) - 14, (1 << 20) + 2):
        (tmp_path / "a.jsonl").write_bytes(b"x" * before + b'"restricted"')
        assert guard.labelled(UPath(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"{" * 100)[:-9])
    assert guard.labelled(UPath(tmp_path / "a.jsonl.gz"))
