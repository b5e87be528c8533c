"""Files of models and predictions are known by digests, of large ones by parts."""

from bioinstruct_jax.evaluation.runner import inputs


def test_a_large_file_is_known_by_its_blocks(tmp_path):
    # Mutation: the size alone.
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(2**25))
    first = inputs.place(str(tmp_path))
    made = bytearray(2**25)
    made[0:100] = b"x" * 100
    file.write_bytes(made)
    assert inputs.place(str(tmp_path)) != first


def test_what_is_not_here_has_no_digest(tmp_path):
    assert inputs.place("org/model") == ""
    assert inputs.place(str(tmp_path)) == ""
