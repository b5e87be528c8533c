"""Choice tasks against lm-evaluation-harness, on hand-written items and on real ones."""

from pathlib import Path

import pytest
from upath import UPath

from bioinstruct_jax.tasks.table import TASKS
from tests.benchmarks import harness
from tests.evaluation import choice_corpora

pytestmark = pytest.mark.slow
NAMES = ("medqa", "medmcqa", "pubmedqa", "mmlu_medical_genetics")


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """(task, corpora, items, shots) -> both sides, compared."""
    folder: Path = tmp_path_factory.mktemp("harness")

    def compare(name: str, corpora: Path, items: int | None, shots: int) -> harness.Sides:
        place = folder / f"{name}-{items}-{shots}"
        place.mkdir()
        pairs = harness.chosen(harness.documents(TASKS[name], corpora), items)
        return harness.compare(TASKS[name], pairs, shots, place, theirs, ours, passes=1)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):  # of the libraries that are not imported yet
            patch.setenv(name, "1")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        theirs, ours = harness.models(folder / "model", bos=True)
        yield compare


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_hand_written_items(sides, tmp_path, name, shots):
    # Mutations: those of test_choice_prompts; BOS on one side alone; a blank between context and continuation twice.
    choice_corpora.write(tmp_path)
    assert sides(name, tmp_path, 3, shots).items == 3


@pytest.mark.parametrize(
    ("name", "items", "shots"),
    [("medqa", 12, 2), ("medmcqa", 60, 0), ("pubmedqa", 100, 0), ("mmlu_anatomy", None, 2), (NAMES[3], None, 0)],
)
def test_real_items(sides, data_folder, name, items, shots):
    # The benchmark compares every item of every task.
    split = harness.SPLITS.get(name, "test")
    if TASKS[name].missing(UPath(data_folder), split):
        pytest.skip(f"{name} is not there")
    both = sides(name, data_folder, items, shots)
    assert both.items == (items or TASKS[name].split(split).count)
    assert (both.ours[:, 0] != both.ours[:, 1]).any() == (name == "pubmedqa")  # letters have one length
