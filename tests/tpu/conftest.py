"""A cloud of one folder for each test."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.tpu.cloud import TRAIN, UV, Cloud


@pytest.fixture
def cloud(tmp_path):
    """A project with an empty bucket and nothing else; training ends well at once."""
    made = Cloud(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bucket").mkdir()
    gcloud = f'#!/bin/sh\nexec {sys.executable} -SE {Path(__file__).parent / "stand_in_gcloud.py"} "$@"\n'
    for name, text in {"bin/gcloud": gcloud, "bin/uv": UV, "train": TRAIN}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "cloud.json").write_text(json.dumps({"node": None, "queue": None, "workers": 1, "rules": []}))
    made.training("0")
    yield made
    for file in (file for name in ("wrapper", "child") for file in tmp_path.glob(f"worker-*/bioinstruct/state/{name}")):
        try:
            os.kill(int(file.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue
    assert not (tmp_path / "broken").exists(), (tmp_path / "broken").read_text()
