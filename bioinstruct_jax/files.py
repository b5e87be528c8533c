"""The one path layer: a local path or a bucket URL, opened through universal_pathlib and fsspec.

Nothing here renames: in a bucket a rename is a copy and a deletion. Nothing is remembered of a bucket's listings:
tensorstore and other processes write there too, and fsspec's clients would not see it.
"""

import hashlib
import io
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
import fsspec.config
from upath import UPath

PACKAGES = {  # what pip is to install for the buckets of a protocol
    "gs": "'bioinstruct-jax[gcs]'",
    "gcs": "'bioinstruct-jax[gcs]'",
    "s3": "s3fs",
    "s3a": "s3fs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
}
_CLIENTS = ("gcsfs", "aiohttp", "google", "s3fs", "aiobotocore", "botocore", "adlfs", "azure")

for _protocol in PACKAGES:  # orbax's own instances of a client take this from here too
    fsspec.config.conf.setdefault(_protocol, {}).setdefault("use_listings_cache", False)
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs a traceback for what it raises, too


def path(text: str | os.PathLike[str]) -> UPath:
    """The path behind a name in a configuration: ``runs``, ``~/data``, ``gs://bucket/folder``, ``memory://x``.

    ``gcs://`` becomes ``gs://``, the only one that orbax and tensorstore know.

    Raises ValueError for an empty name, a NUL, an unknown ``~user`` or protocol, and one whose package is missing.
    """
    name = os.fspath(text)
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is no path: it is empty or contains a NUL character")
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", name):
        protocol = match[1]
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            package = PACKAGES.get(protocol)
            advice = f"pip install {package}" if package else str(error)
            raise ValueError(f"{name}: {protocol}:// needs a package that is not installed: {advice}") from error
        except ValueError as error:
            raise ValueError(
                f"{name}: unknown protocol {protocol!r}; use a local path, gs://, s3:// or another one fsspec knows"
            ) from error
        if protocol == "gcs":
            name = f"gs{name[3:]}"
    elif name.startswith("~"):
        try:
            name = str(Path(name).expanduser())
        except RuntimeError as error:
            raise ValueError(f"{name}: no home folder is known for it; write the path out") from error
    return UPath(name)


def is_local(place: UPath) -> bool:
    """Whether a path lies on a disk of this machine, as opposed to a bucket."""
    return place.protocol in ("", "file", "local")


def make_folder(folder: UPath) -> None:
    """Makes a folder and those above it. A bucket needs none, and its client would make a bucket that is not there."""
    if folder.protocol not in PACKAGES:
        folder.mkdir(parents=True, exist_ok=True)


def hindrance(folder: UPath) -> str:
    """Why a local folder cannot be made or written, for whoever asks before a long work; empty: nothing is known.

    A folder that is not there is made for a moment, under another name: rights alone do not tell.
    """
    if not is_local(folder):
        return ""
    wanted = Path(folder.path).absolute()
    try:
        standing = next(place for place in (wanted, *wanted.parents) if place.exists())
        if not standing.is_dir():
            return f"{standing} is a file, so no folder can be made in it"
        if not os.access(standing, os.W_OK | os.X_OK):
            return f"nothing may be written in {standing}"
        if standing != wanted:
            os.rmdir(tempfile.mkdtemp(dir=standing))
    except OSError as error:
        return f"no folder can be made there ({error.strerror})"
    return ""


def from_bucket(error: BaseException) -> bool:
    """Whether an error is one of a bucket's client, which need not be an OSError: no network, no quota, no login."""
    return type(error).__module__.partition(".")[0] in _CLIENTS


def open_bytes(file: UPath) -> BinaryIO:
    """Opens a file for reading bytes, buffered; ``.gz`` is decompressed.

    Raises OSError as ``open`` does; a damaged ``.gz`` raises OSError, EOFError or zlib.error when it is read.
    """
    compression = "gzip" if file.suffix.lower() == ".gz" else None
    raw = file.fs.open(file.path, "rb", compression=compression)
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 20))


def sha256(file: UPath) -> str:
    """Hex SHA-256 of a file's bytes as stored (a ``.gz`` is not decompressed)."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def settle(file: UPath) -> None:
    """Have a local file and its name outlive a power cut; a bucket does so by itself."""
    if is_local(file):
        for place, flags in ((file.path, os.O_RDWR), (file.parent.path, os.O_RDONLY)):
            descriptor = os.open(place, flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def read_text(file: UPath) -> str:
    """A UTF-8 file as text, with its line ends as stored. Raises ValueError that names the file if it is not UTF-8."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def write_text(file: UPath, text: str) -> None:
    """Writes UTF-8 with the line ends of ``text`` on every system, and makes the folders above."""
    make_folder(file.parent)
    file.write_bytes(text.encode("utf-8"))
