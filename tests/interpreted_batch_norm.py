"""The Triton kernels of grouped batch norm in NumPy: run with TRITON_INTERPRET=1.

A process of its own, because Triton decides when a kernel is defined; ``test_grouped_batch_norm``
starts it.
"""

import batch_norm_cases as cases
import torch
from triton.runtime import interpreter

from radford_lib.kernels import grouped_batch_norm_triton as kernels


def mend_interpreter():
    """Triton 3.6 makes a loop's bound an int of an array with one element, which NumPy refuses."""
    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patched


def check_split_and_slabs():
    """Rows in several splits, the last one short, channels in two slabs; the same bits twice."""
    case = cases.Case((70, 40, 2, 2), groups=2)
    for dtype in (torch.float32, torch.bfloat16):
        cases.check(case, "triton", dtype)
    inputs = cases.make_inputs(case)
    plan = kernels.plan_for(inputs[0], 2, 1, None)
    assert (plan.splits, plan.rows % plan.rows_per_split != 0, len(list(plan.slabs()))) == (
        3,
        True,
        2,
    )
    first, second = (cases.run(case, inputs, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def check_layouts():
    """An x that is not channels last, and a gradient that is not."""
    case = cases.Case((4, 3, 2, 2), groups=2)
    x, gain, bias, dy = cases.make_inputs(case)
    expected = cases.run(case, (x, gain, bias, dy), "triton")
    other = x.contiguous(), gain, bias, dy.contiguous(memory_format=torch.channels_last)
    found = cases.run(case, other, "triton")
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def main():
    mend_interpreter()
    kernels.machine = lambda device: (6, 24_000)
    for case in cases.CASES:
        cases.check(case, "triton")
    cases.check(cases.CASES[0], "triton", torch.bfloat16)
    check_split_and_slabs()
    check_layouts()
    print("interpreted")


if __name__ == "__main__":
    main()
