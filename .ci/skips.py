"""Fails if a test was skipped for a reason that is not allowed: a skip must not hide a failure."""

import os
import re
import sys
from pathlib import Path

ALLOWED = [r"BIOINSTRUCT_DATA is not set"] if "BIOINSTRUCT_DATA" not in os.environ else []

skips = [line for log in sys.argv[1:] for line in Path(log).read_text().splitlines() if line.startswith("SKIPPED")]
forbidden = [line for line in skips if not any(re.search(reason, line) for reason in ALLOWED)]
print(f"{len(skips)} kinds of skip, {len(forbidden)} not allowed")
for line in forbidden:
    print(line)
sys.exit(bool(forbidden))
