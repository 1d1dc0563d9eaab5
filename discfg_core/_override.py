"""`typing.override`, which Python 3.11 does not have yet; it matters to type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: object) -> object:
        return method


__all__ = ["override"]
