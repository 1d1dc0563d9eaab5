"""The options that commands share, and the command class that has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from discfg_core._override import override
from discfg_core.cli.output import Format

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from discfg_core.cli.session import Session

_F = TypeVar("_F", bound="Callable[..., Any]")

_NUMBER = re.compile(r"-[0-9.]")


class MomentType(click.ParamType):  # type: ignore[type-arg]  # generic in later releases of Click only
    """A revision, or a time with its zone."""

    name = "MOMENT"

    @override
    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - Click's signature
        ctx: click.Context | None,  # noqa: ARG002 - Click's signature
    ) -> int | datetime:
        """Convert what was typed; a Python value comes as a default."""
        from discfg_core.arguments import moment_from

        return moment_from(value) if isinstance(value, str) else cast("int", value)


class TimeType(MomentType):
    """A time with its zone."""

    name = "TIME"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Convert what was typed."""
        moment = super().convert(value, param, ctx)
        if isinstance(moment, int):
            self.fail(f"{value} is no time: write it like 2026-03-01T09:14:00Z", param, ctx)
        return moment


def at_option(command: _F) -> _F:
    """As of when."""
    return click.option(
        "--at", type=MomentType(), help="As of this revision or time; 0 is the empty config."
    )(command)


def session(context: click.Context) -> Session:
    """The session of this invocation."""
    return cast("Session", context.obj)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    # The group and its command both have these options; what is given last counts.
    if value is not None and value is not False:
        assert option.name is not None, "an option has a name"
        session(context).keep(option.name, value)


def _shared(*names: str, **how: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **how)


def shared_options() -> list[click.Parameter]:
    """The options of every command; their values go to the session."""
    return [
        _shared("-C", "--config", metavar="NAME", help="The config to work on."),
        _shared(
            "--store",
            metavar="URL",
            help="The store; else DISCFG_STORE, else what .discfg names, else discfg.db in your "
            "data directory (`which` shows it).",
        ),
        _shared(
            "-f",
            "--format",
            type=click.Choice([each.value for each in Format]),
            help="How results are printed.",
        ),
        _shared("--timeout", type=float, metavar="SECONDS", help="How long it may take."),
        _shared("-l", "--region", help="AWS region, for a store there."),
        _shared("-k", "--keyId", "key_id", help="AWS access key id."),
        _shared(
            "-s",
            "--secretKey",
            "secret_key",
            help="AWS secret access key; better kept in the environment.",
        ),
        _shared("-p", "--credProfile", "profile", help="AWS credentials profile."),
        _shared("--debug", is_flag=True, help="Show where an error came from."),
    ]


class Command(click.Command):
    """A command with the shared options, whose usage errors quote no argument.

    A secret behind a misspelt option is an argument to Click, which would print it.
    """

    allow_extra_args = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options())

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; see the class for what is said of wrong ones."""
        assert self.name is not None, "a command has a name"
        session(ctx).action = self.name
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if _NUMBER.match(error.option_name):
                raise click.UsageError(
                    "put -- before an argument that begins with '-'", ctx
                ) from error
            raise
        if rest and not ctx.resilient_parsing:
            raise click.UsageError("there are too many arguments", ctx)
        return rest


def write_options(command: _F) -> _F:
    """Who, why, and an id that makes a repetition safe."""
    for option in (
        click.option("--commit-id", metavar="ID", help="Makes repeating the command safe."),
        click.option("-m", "--message", default="", help="Why; kept in the history."),
        actor_option,
    ):
        command = option(command)
    return command


def actor_option(command: _F) -> _F:
    """Who writes."""
    return click.option(
        "--actor",
        help="Who; kept in the history. By default the login name.",
        expose_value=False,
        callback=_keep,
    )(command)


def condition_options(command: _F) -> _F:
    """What a key must be for a write to happen."""
    for option in (
        click.option(
            "-c", "--if-value", "--condition", metavar="VALUE", help="Only if it has this value."
        ),
        click.option("--if-revision", type=int, help="Only if this revision wrote it last."),
        click.option("--if-version", type=int, help="Only if it is at this version."),
    ):
        command = option(command)
    return command
