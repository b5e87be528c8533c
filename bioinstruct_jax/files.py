"""The one path layer: a local path or a bucket URL, opened through universal_pathlib and fsspec.

Nothing here renames: in a bucket a rename is a copy and a deletion.
"""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from upath import UPath

PACKAGES = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "s3": "s3fs",
    "s3a": "s3fs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
}


def path(text: str | os.PathLike[str]) -> UPath:
    """The path behind a name in a configuration: ``runs``, ``~/data``, ``gs://bucket/folder``, ``memory://x``.

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
    elif name.startswith("~"):
        try:
            name = str(Path(name).expanduser())
        except RuntimeError as error:
            raise ValueError(f"{name}: no home folder is known for it; write the path out") from error
    return UPath(name)


def is_local(place: UPath) -> bool:
    """Whether a path lies on a disk of this machine, as opposed to a bucket."""
    return place.protocol in ("", "file", "local")


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
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode("utf-8"))
