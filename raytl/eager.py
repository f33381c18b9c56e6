"""Run torch without its compiler until something is compiled.

torch's optimizers and torchvision import `torch._dynamo`, which takes as long as torch itself, and use next to nothing of it
in eager mode: optimizers mark functions that must not be traced, DistributedDataParallel reads how it would be compiled,
process groups clear a cache of it, and torchvision imports one function that it rarely calls.
Three small modules stand in for it. At the first use of anything else they are removed and the real package is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import Lock
from types import ModuleType
from typing import Any

_PACKAGE, _UTILS, _RULES = _NAMES = ("torch._dynamo", "torch._dynamo.utils", "torch._dynamo.trace_rules")
_MARK = "__dynamo_disable"
"""The attribute in which `torch._disable_dynamo` keeps what `torch._dynamo.disable` returned."""


def defer_compiler() -> None:
    """Defer the import of `torch._dynamo` in this process, unless it is imported already.

    Call it in processes that are raytl's own, before torchvision is imported.
    """
    if _PACKAGE in sys.modules:
        return
    package, utils, rules = (_StandIn(name) for name in _NAMES)
    marked: list[Any] = []
    vars(package).update(__path__=[], utils=utils, trace_rules=rules, disable=_disable(marked), graph_break=_nothing)
    vars(utils).update(is_compile_supported=_is_compile_supported, get_optimize_ddp_mode=_ddp_mode)
    vars(rules).update(clear_lru_cache=_nothing)
    sys.modules |= {_PACKAGE: package, _UTILS: utils, _RULES: rules}
    sys.meta_path.insert(0, _Finder(marked))


class _StandIn(ModuleType):
    """A module that becomes the real one when an attribute is read that it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_real(self.__name__), name)


class _Finder(MetaPathFinder):
    """Import the real package when one of its submodules is imported."""

    def __init__(self, marked: list[Any]) -> None:
        self.marked = marked

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a submodule of the package that is loaded by then; None for other modules."""
        if not fullname.startswith(f"{_PACKAGE}."):
            return None
        return ModuleSpec(fullname, _Loaded(_real(fullname)))


class _Loaded(Loader):
    """Return a module that is loaded already; the caller of the finder expects to load it."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the spec of the module, which the import system replaced."""
        module.__spec__ = self._spec


_LOCK = Lock()


def _real(name: str) -> ModuleType:
    """Remove the stand-ins and return the real module `name`."""
    with _LOCK:  # not during the import: another thread may hold the lock of a module and wait for this one
        for finder in [each for each in sys.meta_path if isinstance(each, _Finder)]:
            sys.meta_path.remove(finder)
            for function in finder.marked:
                vars(function).pop(_MARK, None)
        for own in _NAMES:
            if isinstance(sys.modules.get(own), _StandIn):
                del sys.modules[own]
    return import_module(name)


def _disable(marked: list[Any]) -> Callable[..., Any]:
    def disable(function: Any, *_: Any, **__: Any) -> Any:
        """Return the function unchanged, which no compiler traces yet."""
        marked.append(function)
        return function

    return disable


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing: nothing is traced, and no rules of tracing are cached."""


def _is_compile_supported(device_type: str) -> bool:
    """Return True if torch can compile for the device."""
    return bool(_real(_UTILS).is_compile_supported(device_type))


def _ddp_mode() -> str:
    """Return the default of `torch._dynamo.config.optimize_ddp`, by name."""
    return "ddp_optimizer"
