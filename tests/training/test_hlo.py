import pytest

from bioinstruct_jax.training.hlo import UnreadableError, called, parse

# As the TPU's compiler writes a kernel: its attributes run over several lines.
KERNEL = """HloModule jit_step, is_scheduled=true

%body (p: bf16[8,16]) -> bf16[8,16] {
  %p = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  %kernel = (f32[8]{0}, bf16[8,16]{1,0}) custom-call(%p), backend_config={"custom_call_config":{
"metadata":"{\\"block\\": 512}"
}}, metadata={op_name="jit(step)/attention/kernel"}
  ROOT %after = bf16[8,16]{1,0} fusion(%kernel), kind=kLoop, calls=%inner
}, execution_thread="sparsecore"

ENTRY %main (a: bf16[8,16]) -> bf16[8,16] {
  %a = bf16[8,16]{1,0} parameter(0)
  ROOT %w = bf16[8,16]{1,0} while(%a), condition=%condition, body=%body
}
"""


def test_what_follows_a_kernel_is_read():
    # Mutation: any line that begins with a brace ends a computation.
    computations, entry = parse(KERNEL)
    assert entry == "main"
    assert [line.name for line in computations["body"]] == ["p", "kernel", "after"]
    kernel, after = computations["body"][1:]
    assert (kernel.operation, after.operation, after.root) == ("custom-call", "fusion", True)
    assert 'op_name="jit(step)/attention/kernel"' in kernel.rest
    assert called(after) == ["inner"]
    assert called(computations["main"][1]) == ["condition", "body"]


def test_a_text_that_is_no_program():
    with pytest.raises(UnreadableError, match="no ENTRY"):
        parse("HloModule nothing")
