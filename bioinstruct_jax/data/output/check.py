"""Whether a finished output is still what was written."""

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output import claim, index
from bioinstruct_jax.data.output.errors import OutputError


def check(folder: UPath) -> index.Index:
    """Reads every file of a finished folder back, and gives its index.

    Raises:
      OutputError: there is no index; or a file is missing, has another size or other bytes than were written, or lies
        among the shards and is none: each is named.
    """
    written = index.read(folder)
    names = {file.file for file in written.all_files()}
    found = [problem for file in written.all_files() if (problem := _problem(folder, file))]
    found += [
        f"{name} is not in {index.INDEX}"
        for name in claim.contents(folder)
        if claim.is_shard(name) and name not in names
    ]
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise OutputError(
            f"{folder}: not what was prepared: {'; '.join(found[:5])}{more}. Restore what differs, or prepare again"
        )
    return written


def _problem(folder: UPath, file: index.File) -> str:
    place = folder / file.file
    try:
        size = place.stat().st_size
        if size != file.bytes:
            return f"{file.file} has {size:,} bytes, of {file.bytes:,} written"
        digest = files.sha256(place)
    except FileNotFoundError:
        return f"{file.file} is missing"
    if digest != file.sha256:
        return f"{file.file} has other bytes (sha256 {digest[:12]}, written {file.sha256[:12]})"
    return ""
