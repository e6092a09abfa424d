"""Triton kernels without a GPU: ``TRITON_INTERPRET=1`` in the environment, before Triton is loaded.

Each program of a kernel then runs in NumPy, on CPU tensors: slow, and enough to check and rehearse.
"""

import functools
import os
from typing import Any

import numpy as np


def interpreting() -> bool:
    """Whether kernels are interpreted rather than compiled."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache  # once, whoever asks
def mend() -> None:
    """Mend what is wrong with the interpreter of Triton 3.6 for the kernels of this library.

    It takes loop bounds from tensors with ``int()``, which NumPy 2.4 refuses for arrays, and it
    multiplies the bits of bfloat16 matrices as if they were integers.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    patch_tensor = interpreter._patch_lang_tensor
    create_dot = interpreter.InterpreterBuilder.create_dot

    def patch_tensor_and_index(tensor: Any, scope: Any) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    def widened(handle: Any) -> Any:
        if handle.dtype != tl.bfloat16:
            return handle
        bits = handle.data.astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), tl.float32)

    def create_dot_of_numbers(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return create_dot(self, widened(a), widened(b), *rest)

    interpreter._patch_lang_tensor = patch_tensor_and_index
    interpreter.InterpreterBuilder.create_dot = create_dot_of_numbers
