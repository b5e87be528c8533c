"""Runs that are killed at any moment, with files torn, end bit for bit as one that nobody disturbed."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_twenty_five_kills_change_nothing():
    # alpaca-lora#72, FastChat#1280, levanter#486. Mutations: the manifest written before orbax has finished; metrics
    # rewritten instead of cut off; the optimizer not restored; dropout keyed by the steps of this process.
    # A process of its own: runs are forked from one in which no backend was started.
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--kills", "25", "--seed", "1"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "JAX_"))}  # one device
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=plain)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "differences  0" in done.stdout
