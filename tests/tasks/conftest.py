"""Small corpora in the publishers' formats, written by hand for these tests."""

import pytest
from upath import UPath


@pytest.fixture
def put(tmp_path):
    """Writes a file, given as text or bytes, and returns its path."""

    def write(name: str, content: str | bytes) -> UPath:
        file = UPath(tmp_path / name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write
