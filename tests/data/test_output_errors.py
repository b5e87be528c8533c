"""Restricted rows: refused where they may not go, marked where they may."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from bioinstruct_jax.data.output import folder
from bioinstruct_jax.data.output.errors import RestrictedError, refuse_restricted
from tests.outputs import CARD, LOCAL, ROW, SECRET, contents, many, put, stop


@pytest.mark.parametrize("form", folder.PUBLISHED)
def test_restricted_rows_are_counted_and_refused_and_never_written(tmp_path, form):
    # Mutation: `return` behind the count away: the sentence stands in a shard.
    secret = [replace(ROW, id=f"n2c2/train/{n}", source="n2c2", licence="restricted", input=SECRET) for n in range(3)]
    for rows in ([*many(1500), *secret], secret):
        with pytest.raises(RestrictedError, match=r"n2c2 \(3 rows\) is restricted.*Leave it out, or write alpaca"):
            put(tmp_path, rows, form, rows_per_shard=100)
        assert contents(tmp_path) == {}
    with pytest.raises(ZeroDivisionError):
        stop(tmp_path, secret[0], form=form, card=CARD)
    assert not any(SECRET.encode() in content for content in contents(tmp_path).values())
    refuse_restricted({"n2c2": 0}, form=form)
    with pytest.raises(RestrictedError, match=r"a \(1 rows\), n2c2 \(2,000 rows\)"):
        refuse_restricted({"n2c2": 2000, "a": 1}, form=form)


@pytest.mark.parametrize("form", LOCAL)
def test_local_rows_hold_restricted_text_and_say_so(tmp_path, form):
    put(tmp_path, [replace(ROW, licence="restricted", input=SECRET)], form)
    (file,) = (file for file in tmp_path.iterdir() if file.name != "index.json")
    content = str(pq.read_table(file).to_pylist()) if form == "parquet" else file.read_text("utf-8")
    assert SECRET in content
    assert "restricted" in content
    assert SECRET not in (tmp_path / "index.json").read_text()
