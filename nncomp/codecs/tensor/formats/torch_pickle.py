"""Reads the pickle of a PyTorch file without executing any of it.

What the pickle would import and call is kept as inert records; only dictionaries, lists,
tuples and PyTorch's functions that rebuild tensors are understood. Values that a pickle
uses again are shared, never copied, so the records take memory in proportion to its
length, which is bounded.

Source of the opcodes: `pickletools` of the standard library; of their use: `torch/_utils.py`
and `torch/serialization.py`.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.formats.base import malformed, natural
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Global", "Record", "StorageRef", "TensorRef", "load", "named_tensors"]

_OPCODES_MAX = 1 << 20
_DEPTH_MAX = 64
_NAMES_MAX = 16 << 20  # characters of all names together
_ARGUMENTS_MAX = 64  # of what is understood; shared, they are gone through again and again

_MARK = object()
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """Something the pickle would import."""

    module: str
    name: str


@dataclass(eq=False, slots=True)
class Record:
    """A container or an object.

    Attributes:
        maker: What would be called to make it; None for the containers of Python.
        args: Its arguments.
        items: Elements with their keys; keys of lists and tuples are their indices.
        state: What it would be given by `__setstate__`, or None.
    """

    maker: object = None
    args: object = ()
    items: list[tuple[object, object]] = field(default_factory=list)
    state: object = None


@dataclass(frozen=True, eq=False, slots=True)
class StorageRef:
    """A storage that the pickle names.

    Attributes:
        type: Its class, such as torch.FloatStorage.
        key: Name of its file.
        elements: Its length; in bytes for torch.storage.UntypedStorage.
    """

    type: Global
    key: str
    elements: int


@dataclass(frozen=True, eq=False, slots=True)
class TensorRef:
    """A tensor: a view of a storage.

    Attributes:
        storage: Where its elements are.
        offset: Of its first element, in elements.
        shape, strides: As in PyTorch; strides in elements.
        dtype: Element type where the storage has none, such as torch.uint16.
    """

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Global | None


def load(data: bytes) -> tuple[object, dict[str, StorageRef]]:
    """The value that a pickle describes, as inert records, and the storages by their keys.

    Raises:
        TensorFileError: Damaged, longer than 2**20 operations, or with operations that
            `torch.save` does not write.
    """
    machine = _Machine(data)
    root = machine.run()
    return root, machine.storages


def named_tensors(root: object) -> Iterator[tuple[str, TensorRef]]:
    """The tensors in `root` with their dotted names, in the order of the pickle.

    A name is made of the keys, indices and attribute names on the way to the tensor.

    Raises:
        TensorFileError: Nested deeper than 64 levels, or so entangled that the names take
            more than 2**24 characters.
    """
    return _Walk().tensors(root, "", [])


class _Walk:
    """A walk through all tensors; bounded where records are shared many times over."""

    def __init__(self) -> None:
        self.budget = _NAMES_MAX

    def tensors(
        self, value: object, name: str, above: list[object]
    ) -> Iterator[tuple[str, TensorRef]]:
        if isinstance(value, TensorRef):
            yield name, value
        if not isinstance(value, Record) or any(value is outer for outer in above):
            return
        if len(above) == _DEPTH_MAX:
            raise malformed(f"tensors nested deeper than {_DEPTH_MAX} levels")
        children = value.items
        if isinstance(value.state, Record):
            children = children + value.state.items
        self.spend(len(children))
        above.append(value)
        for key, child in children:
            if not isinstance(child, (Record, TensorRef)):
                continue
            path = f"{name}.{_label(key)}" if above[1:] else _label(key)
            self.spend(len(path))
            yield from self.tensors(child, path, above)
        above.pop()

    def spend(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise malformed(f"names of tensors take more than {_NAMES_MAX} characters")


def _label(key: object) -> str:
    # Integers of a pickle may be longer than Python is willing to print.
    if type(key) is int and abs(key) < 1 << 64:
        return str(key)
    return key if isinstance(key, str) else "?"


class _Machine:
    """The stack machine of the pickle format."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        self.stack: list[object] = []
        self.memo: dict[object, object] = {}
        self.storages: dict[str, StorageRef] = {}

    def run(self) -> object:
        for _ in range(_OPCODES_MAX):
            at = self.file.tell()
            code = _OPCODES.get(self.file.read(1).decode("latin-1"))
            action = _ACTIONS.get(code.name) if code else None
            if code is None or action is None:
                name = code.name if code else "unknown"
                raise TensorFileError(f"operation {name} at {at} of the pickle is not followed")
            try:
                arg = code.arg.reader(self.file) if code.arg else None
                if code.name == "STOP":
                    return self.stack.pop()
                action(self, arg)
            except (IndexError, KeyError, ValueError, OverflowError) as error:
                raise malformed(f"the pickle is damaged at its byte {at}") from error
        raise TensorFileError(f"a pickle of more than {_OPCODES_MAX} operations is not followed")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[object]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def pop_to_mark(self) -> list[object]:
        """What is above the last mark."""
        count = 0
        while self.stack[-1 - count] is not _MARK:
            count += 1
        values = self.pop(count)
        self.stack.pop()
        return values

    def extend(self, keys_too: bool, values: list[object]) -> None:
        """Append elements, or keys and values by turns, to the container on the stack."""
        items = self.container().items
        if keys_too:
            items.extend(zip(values[::2], values[1::2], strict=True))
        else:
            items.extend(enumerate(values, len(items)))

    def container(self) -> Record:
        top = self.stack[-1]
        if not isinstance(top, Record):
            raise ValueError("no container on the stack")
        return top

    def import_(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("names that are no texts")
        self.push(Global(module, name))

    def call(self, maker: object, args: object) -> None:
        self.push(_rebuilt(maker, args))

    def build(self, state: object) -> None:
        top = self.stack[-1]
        if isinstance(top, Record):
            top.state = state

    def persistent(self, pid: object) -> None:
        parts = _elements(pid)
        if len(parts) != 5 or parts[0] != "storage":
            raise ValueError("no storage")
        kind, key, elements = parts[1], parts[2], parts[4]
        if not (isinstance(kind, Global) and isinstance(key, str)):
            raise ValueError("no storage")
        storage = StorageRef(kind, key, natural(elements, "the length of a storage"))
        # As in PyTorch: what is said first of a storage holds.
        self.push(self.storages.setdefault(key, storage))


def _sequence(values: list[object]) -> Record:
    return Record(items=list(enumerate(values)))


def _elements(value: object) -> list[object]:
    """Elements of a tuple or list of few."""
    if not isinstance(value, Record) or value.maker or len(value.items) > _ARGUMENTS_MAX:
        raise ValueError("no tuple of arguments")
    return [element for _, element in value.items]


def _rebuilt(maker: object, args: object) -> object:
    """What calling `maker` would give, if it is a tensor; else a record of the call."""
    if isinstance(maker, Global):
        rebuild = _REBUILDERS.get((maker.module, maker.name))
        if rebuild:
            return rebuild(_elements(args))
    return Record(maker, args)


def _tensor(parts: list[object]) -> object:
    """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])."""
    return _view(parts, None, parts[6] if len(parts) > 6 else None)


def _typed_tensor(parts: list[object]) -> object:
    """_rebuild_tensor_v3: the same, with the element type before the metadata."""
    if not isinstance(parts[6], Global):
        raise ValueError("no element type")
    return _view(parts, parts[6], parts[7] if len(parts) > 7 else None)


def _view(parts: list[object], dtype: Global | None, metadata: object) -> object:
    storage = parts[0]
    if not isinstance(storage, StorageRef):
        raise ValueError("no storage")
    if isinstance(metadata, Record) and True in _elements(metadata):
        # Conjugation and negation that PyTorch has put off: the bytes are not the values.
        raise TensorFileError("a tensor with a pending negation; save it anew with PyTorch")
    shape, strides = (
        tuple(natural(number, "a length or stride of a tensor") for number in _elements(part))
        for part in parts[2:4]
    )
    if len(shape) != len(strides):
        raise ValueError("shape and strides of different lengths")
    return TensorRef(storage, natural(parts[1], "an offset of a tensor"), shape, strides, dtype)


_REBUILDERS: dict[tuple[str, str], Callable[[list[object]], object]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda parts: parts[0],
    ("torch._utils", "_rebuild_parameter_with_state"): lambda parts: parts[0],
    ("torch._tensor", "_rebuild_from_type_v2"): lambda parts: _rebuilt(parts[0], parts[2]),
}


def _constant(value: object) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.push(value)


def _argument(machine: _Machine, arg: object) -> None:
    machine.push(arg)


def _nothing(machine: _Machine, arg: object) -> None:
    """Framing, and what the loop handles itself."""


def _tuple(count: int) -> Callable[[_Machine, object], None]:
    return lambda machine, _: machine.push(_sequence(machine.pop(count)))


def _global(machine: _Machine, arg: object) -> None:
    module, _, name = str(arg).partition(" ")
    machine.import_(module, name)


def _put(machine: _Machine, arg: object) -> None:
    machine.memo[arg] = machine.stack[-1]


_ACTIONS: dict[str, Callable[[_Machine, object], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "MARK": _constant(_MARK),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        ),
        _argument,
    ),
    "EMPTY_TUPLE": _tuple(0),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    **dict.fromkeys(
        ("TUPLE", "FROZENSET"), lambda machine, _: machine.push(_sequence(machine.pop_to_mark()))
    ),
    **dict.fromkeys(
        ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"), lambda machine, _: machine.push(Record())
    ),
    "APPEND": lambda machine, _: machine.extend(False, machine.pop(1)),
    **dict.fromkeys(
        ("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(False, machine.pop_to_mark())
    ),
    "SETITEM": lambda machine, _: machine.extend(True, machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.extend(True, machine.pop_to_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda machine, _: machine.import_(*machine.pop(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine.call(*machine.pop(2))),
    "NEWOBJ_EX": lambda machine, _: machine.call(*machine.pop(3)[:2]),
    "BUILD": lambda machine, _: machine.build(machine.pop(1)[0]),
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop(1)[0]),
    "POP": lambda machine, _: machine.pop(1).clear(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark().clear(),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    **dict.fromkeys(
        ("BINGET", "LONG_BINGET"), lambda machine, arg: machine.push(machine.memo[arg])
    ),
}
