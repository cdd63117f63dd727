"""Public names of PyTorch's tensor surface that are not offered here, and why."""

from __future__ import annotations

SPARSE = "tensors are dense"
QUANTIZED = "arithmetic of 8-bit integers with scales serves deployment, not training"
DTYPES = "dtypes to store numbers in, without arithmetic"
DEVICES = "there is one device and one kind of memory"
KERNELS = "a kernel of one library, called by a function that is offered"
COMPILER = "PyTorch's own compiler and its extensions; here it is fusegrad.jit"
LATER = "function transforms and mixed precision are no part of the tensor surface"
REMOVED = "raises in PyTorch too, or is deprecated in favour of another name"
INTERNAL = "bookkeeping of PyTorch that programs do not call"

# Names of functions and attributes, as patterns -> why. Each pattern must match an absent name.
FUNCTIONS = {
    "*sparse*": SPARSE, "*indices_copy": SPARSE, "values_copy": SPARSE, "dsmm": SPARSE,
    "hsmm": SPARSE, "hspmm": SPARSE, "s*mm": SPARSE,
    "*quant*": QUANTIZED, "q_*": QUANTIZED, "fbgemm_*": QUANTIZED, "int_repr": QUANTIZED,
    "choose_qparams_optimized": QUANTIZED,
    "cudnn_*": KERNELS, "miopen_*": KERNELS, "mkldnn_*": KERNELS, "batch_norm_*": KERNELS,
    "native_norm": KERNELS,
    "*autocast*": LATER, "vmap": LATER, "set_anomaly_enabled": LATER,
    "is_anomaly_check_nan_enabled": LATER,
    "compile*": COMPILER, "import_ir_module*": COMPILER, "parse_*": COMPILER, "sym_*": COMPILER,
    "merge_type_*": COMPILER, "unify_type_list": COMPILER, "fork": COMPILER, "wait": COMPILER,
    "init_num_threads": COMPILER, "*_multiprocessing_environment": COMPILER,
    "is_vulkan_available": DEVICES,
    "eig": REMOVED, "solve": REMOVED, "symeig": REMOVED, "lstsq": REMOVED,
    "matrix_rank": REMOVED, "set_default_tensor_type": REMOVED,
    "hash_tensor": INTERNAL, "slice_inverse": INTERNAL, "get_file_path": INTERNAL,
    "classproperty": INTERNAL, "profiler_*": INTERNAL, "thread_safe_generator": INTERNAL,
}  # fmt: skip
METHODS = {
    "*indices": SPARSE, "*coalesce*": SPARSE, "dense_dim": SPARSE, "*sparse*": SPARSE,
    "s*mm": SPARSE, "values": SPARSE, "to_mkldnn": KERNELS, "to_padded_tensor": SPARSE,
    "*quant*": QUANTIZED, "q*": QUANTIZED, "int_repr": QUANTIZED,
    "ipu": DEVICES, "mtia": DEVICES, "record_stream": DEVICES, "share_memory_": DEVICES,
    "storage": REMOVED, "storage_type": REMOVED, "new": REMOVED, "volatile": REMOVED,
    "reinforce": REMOVED, "resize": REMOVED, "resize_as": REMOVED, "eig": REMOVED,
    "solve": REMOVED, "symeig": REMOVED, "lstsq": REMOVED,
    "as_subclass": INTERNAL, "module_load": INTERNAL, "name": INTERNAL, "output_nr": INTERNAL,
    "hash_tensor": INTERNAL, "slice_inverse": INTERNAL, "grad_dtype": INTERNAL, "index": INTERNAL,
}  # fmt: skip
LAYERS = {
    "assert_int_or_pair": INTERNAL, "boolean_dispatch": INTERNAL, "*_torch_function*": INTERNAL,
    "scaled_*mm": DTYPES,
}  # fmt: skip
