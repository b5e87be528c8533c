"""What keeps restricted text where it is: what may be shown of it, which endpoint may be sent it, how it is known.

Restricted text (clinical notes under an agreement of use) is read from the user's own copy. The rows themselves and the
token ids made of them, which a tokenizer turns back into text, stay on the user's disk; everything else that is
written, printed or sent holds no word of it.
"""

import hmac
import ipaddress
import re
import secrets
import zlib

from upath import UPath

from bioinstruct_jax import files

RESTRICTED = "restricted"
_KEY = secrets.token_bytes(32)  # of this process; never written
_LOOPBACK = re.compile(
    r"https?://(?:localhost|(?P<ipv4>127(?:\.[0-9]{1,3}){3})|\[::1\])(?::[0-9]{1,5})?(?:/[a-z0-9._~/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_IN_JSON = re.compile(rb'"\s{0,8}restricted\s{0,8}"', re.IGNORECASE)
_IN_CSV = re.compile(rb'(?:\A|["\r\n,])[ \t]{0,8}restricted[ \t]{0,8}(?:["\r\n,]|\Z)', re.IGNORECASE)
_OVERLAP = 32  # bytes; a label is shorter


class RestrictedError(ValueError):
    """Restricted text was about to go where its terms do not let it. The message says what to do, and none of it."""


def is_restricted(licence: str) -> bool:
    """Whether the text of a row's ``licence`` marks it as restricted; another text, or none, does not."""
    return licence.strip().casefold() == RESTRICTED


def shown(text: str, restricted: bool) -> str:
    """`text`, or what stands in its place where it is restricted: equal texts of a process have equal signs.

    The sign is an HMAC (RFC 2104) under a random key that ends with the process. A plain hash would give short text
    away: whoever holds it hashes every drug, dose and date there is until one fits. So a sign says nothing outside its
    process; what is to be found again, or is to be the same bytes in every run, is named by id, or by file and line.
    """
    if not restricted:
        return text
    sign = hmac.new(_KEY, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
    return f"restricted, keyed hash {sign[:12]}"


def check_endpoint(url: str, *, restricted: int) -> None:
    """Refuse to send restricted rows to any endpoint but one of this machine.

    That is ``http`` or ``https``, ``localhost``, ``127.0.0.0/8`` or ``[::1]``, a port, a plain path. Nothing is
    resolved, and nothing else is taken for one of these: no user name, query, escape, short or decimal address, IPv6
    address that maps an IPv4 one, or ``0.0.0.0``. What listens there and where it sends things, the guard cannot see.

    The client must not undo this: it follows no redirect, and takes no proxy from the environment.

    Args:
        url: as the client will be given it.
        restricted: how many of the rows to be sent are; with 0 every URL will do.

    Raises:
        RestrictedError: names the URL, without what may be a password in it.
    """
    if restricted and not is_loopback(url):
        raise RestrictedError(
            f"{_without_secrets(url)!r}: {restricted:,} of the rows are restricted, and restricted text goes to an "
            "endpoint of this machine alone: http://localhost:PORT, http://127.0.0.1:PORT or http://[::1]:PORT, with a "
            "plain path behind it. Serve the model here, or leave these rows out"
        )


def is_loopback(url: str) -> bool:
    """Whether a URL is, letter by letter, one of this machine, as `check_endpoint` says."""
    found = _LOOPBACK.fullmatch(url)
    if found is None:
        return False
    try:  # numbers up to 255, and none with a leading zero, which some read as octal
        return found["ipv4"] is None or ipaddress.IPv4Address(found["ipv4"]).is_loopback
    except ValueError:
        return False


def _without_secrets(url: str) -> str:
    return re.sub(r"//.*@", "//...@", re.split(r"[?#]", url, maxsplit=1)[0], flags=re.DOTALL)[:200]


def labelled(file: UPath, *, csv: bool = False) -> bool:
    """Whether the label of restricted rows stands anywhere in a JSON or CSV file, however broken.

    Where it does not, a row of which not even the licence can be read is not restricted. A word of the text may be
    taken for the label, and a file that cannot be read to its end may have it: then broken rows are not shown.
    """
    pattern, before = _IN_CSV if csv else _IN_JSON, b""
    try:
        with files.open_bytes(file) as stream:
            while block := stream.read(1 << 20):
                if pattern.search(before + block):
                    return True
                before = (before + block)[-_OVERLAP:]
    except (OSError, EOFError, zlib.error):
        return True
    return False
