"""Where the adapter and the base lie that a user names: a run folder, a PEFT folder, a bucket URL or a hub id."""

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.peft_adapter import CONFIG, PROMPT, WEIGHTS
from bioinstruct_jax.resources import shipped_base


def adapter(name: str, *, setting: str = "--adapter") -> UPath:
    """The folder of an adapter in PEFT form.

    Args:
        name: that folder, a run folder (then its ``adapter/``), a bucket URL, or a hub id, which is downloaded.
        setting: what `name` is called where the user wrote it.

    Raises:
        FileNotFoundError: no such folder or hub id, or no adapter in it.
        ValueError: `name` is a file, or the run tuned the whole model.
    """
    wanted = (CONFIG, WEIGHTS, PROMPT, *hub_config.TOKENIZER_FILES)
    folder = hub_config.locate(name, None, setting=setting, wanted=wanted)
    if (folder / CONFIG).exists():
        return folder
    if (folder / "adapter" / CONFIG).exists():
        return folder / "adapter"
    if (folder / "model" / "config.json").exists():
        raise ValueError(
            f"{setting} {name!r}: the run tuned all weights and left no adapter; {folder / 'model'} is the whole model"
        )
    if (folder / "config.yaml").exists():
        raise FileNotFoundError(
            f"{setting} {name!r}: the run has no adapter/ yet; go on with python -m bioinstruct_jax.train "
            f"{folder / 'config.yaml'}"
        )
    raise FileNotFoundError(f"{setting} {name!r}: no {CONFIG} there; give the folder of an adapter, or of a run")


def base(name: str | None, adapter: UPath) -> UPath:
    """The folder of the base model of an adapter.

    Args:
        name: folder, bucket URL or hub id; None: what adapter_config.json names. A path that stands there is looked for
            from the working folder, then from the adapter's; the base of a run may have moved together with it.

    Raises:
        FileNotFoundError, PermissionError: it is not there, or may not be read, with what to do.
        ValueError: adapter_config.json is damaged or names no base.
    """
    if name is not None:
        return hub_config.locate(name, None, setting="--base")
    recorded = recorded_base(adapter)
    revision = hub_config.read_json(adapter / CONFIG).get("revision")
    if recorded is None:
        raise ValueError(f"{adapter / CONFIG}: base_model_name_or_path names no base; give it as --base=FOLDER")
    if revision is not None and not isinstance(revision, str):
        raise ValueError(f"{adapter / CONFIG}: revision = {revision!r}: a branch, tag, commit or null is expected")
    candidates = [files.path(recorded)]
    if "://" not in recorded:
        candidates.append(adapter / recorded)
    if candidates[0].name == "base" and (adapter.parent / "config.yaml").exists():
        candidates.append(adapter.parent / "base")
    if candidates[0].parent.name == "bases" and (shipped := shipped_base(candidates[0].name)) is not None:
        candidates.append(files.path(shipped))  # it was tuned where the package lies elsewhere
    for folder in candidates:
        if (folder / "config.json").exists():
            return folder
    try:
        return hub_config.locate(recorded, revision, setting=f"{adapter / CONFIG}: base_model_name_or_path")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. Give the base as --base=FOLDER") from error


def recorded_base(adapter: UPath) -> str | None:
    """The name of its base that an adapter carries, if any. Raises ValueError if adapter_config.json is damaged."""
    name = hub_config.read_json(adapter / CONFIG).get("base_model_name_or_path")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{adapter / CONFIG}: base_model_name_or_path = {name!r}: text or null is expected")
    return name or None


def whole_model(name: str) -> str:
    """The folder of a model that somebody named: that of a run that tuned all weights is its ``model/``.

    Raises:
        ValueError: for the folder of a run that made an adapter, or has made nothing yet.
    """
    folder = files.path(name)
    if (folder / "config.json").exists() or not (folder / "config.yaml").exists():
        return name
    if (folder / "model" / "config.json").exists():
        return str(folder / "model")
    if (folder / "adapter").exists():
        raise ValueError(f"--model {name!r} is a run that made an adapter; give --adapter={name}")
    raise ValueError(
        f"--model {name!r}: the run has no model/ yet; go on with python -m bioinstruct_jax.train "
        f"{folder / 'config.yaml'}"
    )
