"""Real servers for tests: `find` gives the class of one by its name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.base import Server

_OTHERS = {"base", "broker", "certificates", "moto_app", "plugin", "ports"}


def names() -> list[str]:
    """The servers that there are, sorted."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)} - _OTHERS
    return sorted(name.replace("_", "-") for name in modules)


def find(name: str) -> type[Server]:
    """The class of the server of that name, from ``tests/servers/<name>.py``.

    Raises:
        LookupError: There is none.
    """
    if name not in names():
        raise LookupError(f"no server is called {name!r}; there are {', '.join(names())}")
    from tests.servers.base import Server

    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    for member in vars(module).values():
        if (
            inspect.isclass(member)
            and issubclass(member, Server)
            and getattr(member, "name", None) == name
        ):
            return member
    raise LookupError(f"{module.__name__} has no server called {name!r}")
