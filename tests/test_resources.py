import importlib.util
import shutil
from pathlib import Path

import pytest

from bioinstruct_jax import resources
from bioinstruct_jax.resources import resource


def _module_at(package: Path):
    """resources.py as if it were installed in ``package``."""
    package.mkdir(parents=True)
    shutil.copy(resources.__file__, package)
    spec = importlib.util.spec_from_file_location("elsewhere", package / "resources.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_this_checkout_has_seeds():
    assert (resource("seeds") / "README.md").is_file()
    assert resource("seeds", "README.md") == resource("seeds") / "README.md"


def test_a_wheel_has_its_own(tmp_path):
    # Mutation: look beside the package first: the stranger's configs/ in site-packages is taken.
    module = _module_at(tmp_path / "site-packages" / "bioinstruct_jax")
    for folder in ("configs", "bioinstruct_jax/_resources/configs"):
        file = tmp_path / "site-packages" / folder / "small" / "tiny.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(folder)
    assert module.resource("configs", "small/tiny.yaml").read_text() == "bioinstruct_jax/_resources/configs"


def test_a_stranger_beside_the_package_is_not_taken(tmp_path):
    # Mutation: drop the pyproject.toml condition: the stranger's folder is returned.
    module = _module_at(tmp_path / "bioinstruct_jax")
    (tmp_path / "configs").mkdir()
    with pytest.raises(FileNotFoundError, match="install the package again"):
        module.resource("configs")


@pytest.mark.parametrize("name", ["tinny.yaml", "../pyproject.toml", "/etc/hostname"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    # Mutation: return folder / name unchecked: ../pyproject.toml is handed out.
    with pytest.raises(FileNotFoundError, match=r"seeds has no .*; it has .*README\.md"):
        resource("seeds", name)
