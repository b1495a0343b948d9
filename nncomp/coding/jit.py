"""How this project compiles: one decorator, one set of compiler settings.

Kernels are integer code, or floating point of correctly rounded operations, and must
give the same bits on every machine. So the settings are the same everywhere and stand
here alone: no fast maths (no reassociation, no fused multiply-add), NumPy's rules for
division, no bounds checks (a kernel checks what comes from outside itself), and the
GIL released, so that threads run kernels side by side.

A kernel is compiled when it is first called, which takes seconds, and kept on disk
for later processes. `on_compile` hears of each real compilation.

The disk cache of numba knows a kernel by the date of its own source file alone. A kernel is
made of functions of other files, too, and files installed from a release may all have the
same date. So the cache is told a digest of all our sources besides: after an update, no
kernel of the old release can ever be taken for one of the new.

Importing this module loads no numba; decorating a function does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

import xxhash

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

__all__ = [
    "announced",
    "bare_inline",
    "bare_kernel",
    "compiled_module",
    "inline",
    "kernel",
    "on_compile",
    "sealed",
]

F = TypeVar("F", bound=Callable[..., Any])

on_compile: Callable[[str], None] | None = None
"""Called with a kernel's name when its machine code is in no cache and has to be made.

Set it as `jit.on_compile = ...`. It runs on the thread that called the kernel, before
the compilation, while numba holds its lock: it must be quick and call no kernel. A
kernel that other kernels call is announced like any other.
"""

_kernels: WeakSet[Any] = WeakSet()


def kernel(function: F) -> F:
    """Compile a function with numba when it is first called.

    The compiled code is cached beside the source file, or in the user's cache folder if
    that one cannot be written; where neither can, it is made anew in each process.

    Args:
        function: What numba's nopython mode accepts: scalars, NumPy arrays and other
            kernels, no Python objects.

    Returns:
        The compiled function, called like the original; it runs without the GIL.
    """
    return _kernel(function)


def bare_kernel(function: F) -> F:
    """A kernel that takes no part in counting references, and so cannot make arrays.

    For kernels made of many pieces that hand many arrays to each other: counting took two
    fifths of the time of one that works bit by bit.

    Args:
        function: As for `kernel`; it and all that it calls are bare and make no arrays.
    """
    return _kernel(function, _nrt=False)


def _kernel(function: F, **options: bool) -> F:
    _listen()
    try:
        compiled: Any = _njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        compiled = _njit(**options)(function)
    _stamp(compiled)
    _kernels.add(compiled)
    return cast("F", compiled)


def _stamp(compiled: Any) -> None:
    """Let the disk cache of a kernel be good for these sources alone."""
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:  # None where nothing is cached, or compiled at all
        file._source_stamp = (file._source_stamp, _digest_of_sources())


@cache
def _digest_of_sources() -> str:
    """XXH3-128 of all Python files of the package; takes some milliseconds."""
    digest = xxhash.xxh3_128()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def inline(function: F) -> F:
    """A piece of kernels: compiled into every kernel that calls it.

    It is neither cached nor announced on its own, and may be a closure.

    Args:
        function: As for `kernel`; small, since each call is a copy of it.
    """
    return cast("F", _njit(forceinline=True)(function))


def bare_inline(function: F) -> F:
    """A piece of bare kernels, see `inline` and `bare_kernel`."""
    return cast("F", _njit(forceinline=True, _nrt=False)(function))


def sealed(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to: kernels are compiled for one kind of array alone."""
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def announced(notice: Callable[[str], None]) -> Iterator[None]:
    """Say once that kernels are being compiled, if they are while this lasts."""
    global on_compile  # numba calls back from anywhere in the process
    before, said = on_compile, list[str]()

    def announce(kernel: str) -> None:
        if not said:
            notice("compiling kernels, at first use only")
        said.append(kernel)

    on_compile = announce
    try:
        yield
    finally:
        on_compile = before


def _njit(**options: bool) -> Any:
    """The decorator of numba with this project's settings."""
    import numba  # here, not above: `import nncomp` must stay fast

    njit: Any = numba.njit
    return njit(nogil=True, fastmath=False, boundscheck=False, error_model="numpy", **options)


@cache
def _listen() -> None:
    """Hear of numba's compilations, once per process; loads from its cache are not among them."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            dispatcher = event.data["dispatcher"]
            if on_compile is not None and dispatcher in _kernels:
                on_compile(dispatcher.py_func.__name__)

        def on_end(self, event: Any) -> None:
            pass  # the base class asks for it

    register: Any = event.register  # untyped in numba
    register("numba:compile", Listener())


@cache
def compiled_module(name: str) -> ModuleType | None:
    """A module of kernels that has a twin in NumPy.

    None where numba is missing, or switched off by NNCOMP_COMPILED=0: then the twin serves.
    """
    if os.environ.get("NNCOMP_COMPILED") == "0":
        return None
    try:
        return import_module(name)
    except ImportError:
        return None
