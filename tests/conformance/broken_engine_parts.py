"""A sound engine, put together from parts of which any can be replaced by a broken one."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.versioned import VersionedEngine
from discfg_core.versioned.committer import Committer
from discfg_core.versioned.lead import Lead
from discfg_core.versioned.plan import Plan
from discfg_core.versioned.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discfg_core.substrate import Substrate


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names_in(inner)


def rebound(function: Any, **names: Any) -> Any:
    """The same function, for which these global names of its module mean something else."""
    unused = names.keys() - set(_names_in(function.__code__))
    assert not unused, f"{function.__qualname__} no longer uses {unused}"
    twin = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


class Sound(VersionedEngine):
    """Nothing is wrong with it; what the others are built on.

    A subclass overrides methods, or names a part of its own: ``class Broken(Sound, plan=...)``.
    """

    @staticmethod
    def below(place: str) -> Substrate:
        """The store under it."""
        return MemorySubstrate(place)

    def __init_subclass__(
        cls,
        session: type[Session] = Session,
        committer: type[Committer] = Committer,
        lead: type[Lead] = Lead,
        plan: type[Plan] = Plan,
    ) -> None:
        its_lead = type("ItsLead", (lead,), {"_plan_on": rebound(lead._plan_on, Plan=plan)})
        its_committer = type(
            "ItsCommitter", (committer,), {"_lead": rebound(committer._lead, Lead=its_lead)}
        )
        its_open = rebound(VersionedEngine._open, Session=session, Committer=its_committer)
        cls._open = its_open  # type: ignore[method-assign]  # what this is about
