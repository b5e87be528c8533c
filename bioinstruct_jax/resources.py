"""Where ``configs/`` and ``seeds/`` are: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path
from typing import Literal

BASES = ("small",)  # models that are shipped, by the name that stands for them as model.weights


def shipped_base(name: str) -> Path | None:
    """The folder of the base that is shipped under this name; None if none is, or a model here is called so."""
    if name not in BASES or (Path(name) / "config.json").exists():
        return None
    return resource("configs", f"bases/{name}/config.json").parent


def resource(kind: Literal["configs", "seeds"], name: str = "") -> Path:
    """The folder of that kind, or the file ``name`` in it (``tiny.yaml``; folders below are written with ``/``).

    Raises FileNotFoundError that lists the names there are.
    """
    package = Path(__file__).resolve().parent
    folder = package / "_resources" / kind
    if not folder.is_dir():
        folder = package.parent / kind
        if not (folder.is_dir() and (package.parent / "pyproject.toml").is_file()):
            raise FileNotFoundError(
                f"{kind}/ was not found in {package / '_resources'} nor in {package.parent}; install the package again"
            )
    if not name:
        return folder
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    if name not in names:
        raise FileNotFoundError(f"{kind} has no {name!r}; it has {', '.join(names) or 'no files'}")
    return folder / name
