"""Tensors in files and in memory.

Everything here takes plain files and archives alike: safetensors, .npy, .npz, PyTorch (without
unpickling) and GGUF, and checkpoints in several files. Neither the file nor the library that
made it has to be changed::

    import nncomp.tensors

    with nncomp.tensors.open("model.safetensors.nnc") as file:
        list(file)                                  # the names
        file["embedding"]                           # only what it lies in is decoded
        file.get_slice("embedding")[1000:1010]      # and of these, only the rows

    state = nncomp.tensors.load_file("folder/of/shards")
    nncomp.tensors.save_file(state, "model.safetensors.nnc", metadata={"format": "pt"})

`nncomp.tensors.torch` and `nncomp.tensors.numpy` have `load_file` and `save_file` as
`safetensors.torch` and `safetensors.numpy` do.

A model of transformers out of a folder from huggingface_hub whose shards were compressed::

    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    state = nncomp.tensors.load_file(folder)
    model = model_class.from_pretrained(None, config=config, state_dict=state)

Importing this loads no PyTorch; asking for tensors of PyTorch does.
"""

from __future__ import annotations

from nncomp.tensors.file import TensorFile, TensorSlice, load_file, open  # noqa: A004 - named as nncomp.open
from nncomp.tensors.memory import compress_tensor, decompress_tensor
from nncomp.tensors.save import save_file

__all__ = [
    "TensorFile",
    "TensorSlice",
    "compress_tensor",
    "decompress_tensor",
    "load_file",
    "open",
    "save_file",
]
