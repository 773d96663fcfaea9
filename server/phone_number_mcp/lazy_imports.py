"""Importing the SDK's packages without what they import for others.

`import mcp.server.lowlevel` runs `mcp/__init__.py` and `mcp/server/__init__.py` first. Both import the SDK's client, its HTTP
transports and its other server: 60 ms and 11 MiB, of which the stdio server needs nothing. So these two files run only once
somebody asks for one of the names that they define. Nothing is replaced: whoever asks gets what they would have got.
"""

from __future__ import annotations

import importlib.util
import sys


def import_lazily(package: str) -> None:
    """Import a package, but run its `__init__.py` only once somebody asks for one of its own names.

    Its modules can be imported as ever. Works as `importlib.util.LazyLoader` does, which runs a package as soon as one of its
    modules is imported.
    """
    if package in sys.modules or (spec := importlib.util.find_spec(package)) is None or (loader := spec.loader) is None:
        return
    module = importlib.util.module_from_spec(spec)

    def load(name: str) -> object:
        if name.startswith("__"):  # Python itself, looking for what a module may have
            raise AttributeError(name)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = load
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)
