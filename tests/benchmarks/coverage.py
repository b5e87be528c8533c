"""Line coverage of the suite, child processes included and one test left out, and the modules below a bar.

    python -m tests.benchmarks.coverage                         # everything: about an hour on 2 cores
    python -m tests.benchmarks.coverage tests/api --of api      # one room by its own tests

Needs `coverage`, which no other part of the project does: pip install coverage. Exits with 1 if a module is below the
bar, or a test failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BAR = 85.0  # percent of the lines of a module
# No file of its process can grow, and so what coverage writes of itself cannot either.
LEFT_OUT = "tests/test_export.py::test_a_file_that_cannot_grow"
SETTINGS = """\
[run]
source = {source}
data_file = {folder}/data
parallel = true
patch = subprocess
concurrency = thread
sigterm = true
[report]
exclude_also =
    if TYPE_CHECKING:
    if __name__ == .__main__.:
"""


def measured(tests: list[str], of: str, folder: Path) -> tuple[int, dict[str, dict]]:
    """The exit code of the tests, and what the report says of each module of `of`, a part of the package."""
    settings = folder / "settings"
    settings.write_text(SETTINGS.format(source=ROOT / "bioinstruct_jax" / of, folder=folder), encoding="utf-8")
    coverage = [sys.executable, "-m", "coverage"]
    # "not slow" is the default of the project's settings; here both groups count.
    at_once = ["-n", "2", "--dist", "loadfile"]
    words = ["-m", "pytest", *at_once, "-m", "slow or not slow", f"--deselect={LEFT_OUT}", *tests]
    code = subprocess.run([*coverage, "run", f"--rcfile={settings}", *words], cwd=ROOT).returncode
    subprocess.run([*coverage, "combine", f"--rcfile={settings}", "-q"], cwd=ROOT, check=True)
    out = folder / "report.json"
    subprocess.run([*coverage, "json", f"--rcfile={settings}", "-q", "-o", str(out)], cwd=ROOT, check=True)
    found = json.loads(out.read_text(encoding="utf-8"))["files"]
    return code, found


def ranges(lines: list[int]) -> str:
    """Numbers of lines, runs of them together: "3-5, 9"."""
    starts = [one for one in lines if one - 1 not in lines]
    ends = [one for one in lines if one + 1 not in lines]
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in zip(starts, ends, strict=True))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tests", nargs="*", default=["tests"], help="files or folders of tests")
    parser.add_argument("--of", default="", help="room of the package that counts; default: all of it")
    parser.add_argument("--bar", type=float, default=BAR, help="percent")
    asked = parser.parse_args()
    os.environ.setdefault("COVERAGE_CORE", "sysmon" if sys.version_info >= (3, 12) else "ctrace")
    with tempfile.TemporaryDirectory() as temporary:
        code, found = measured(asked.tests, asked.of, Path(temporary))
    low = {name: one for name, one in sorted(found.items()) if one["summary"]["percent_covered"] < asked.bar}
    for name, one in low.items():
        print(f"{one['summary']['percent_covered']:5.1f} %  {name}: not run: {ranges(one['missing_lines'])}")
    print(f"{len(low)} of {len(found)} modules below {asked.bar:g} %")
    return int(bool(code or low))


if __name__ == "__main__":
    sys.exit(main())
