"""The public functions over tensors, under PyTorch's names; methods of ``Tensor`` where marked.

Everything here is composed of primitives: type promotion, broadcasting and argument checking live
here, derivatives and kernels come from the records in ``ops/``.
"""
