"""Clearing gradients, for modules and optimizers alike."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..autograd import no_grad
from ..tensor import ELIDED, Tensor


def clear_grads(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Set the gradients of ``parameters`` to ``None``, or to zero where there are any."""
    for parameter in parameters:
        if set_to_none:
            parameter.grad = None
        elif parameter._grad is ELIDED:  # never written to memory; its value after this is zero
            parameter.grad = Tensor(np.zeros(parameter.shape, parameter.dtype.np))
        elif parameter.grad is not None:
            with no_grad():
                parameter.grad.detach_()
                parameter.grad.zero_()
