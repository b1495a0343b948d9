"""What must not be loaded before it is needed."""

import json
import subprocess
import sys

HEAVY = {"torch", "numba", "llvmlite", "ml_dtypes", "safetensors", "zarr", "numcodecs", "fsspec"}


def test_without_tensors_of_pytorch_it_is_not_loaded() -> None:
    code = """
import io, json, sys
import numpy, nncomp.tensors, nncomp.tensors.numpy, nncomp.tensors.torch
loaded = set(sys.modules)
array = nncomp.tensors.decompress_tensor(nncomp.tensors.compress_tensor(numpy.ones(3), "zstd"))
print(json.dumps([sorted(loaded), sorted(sys.modules)]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for modules in json.loads(run.stdout):
        assert "nncomp.tensors" in modules
        assert not HEAVY & set(modules)
