"""The program: its commands, each imported when it is used, and what becomes of errors."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from discfg_core import urls
from discfg_core._override import override
from discfg_core._version import __version__
from discfg_core.cli.options import shared_options
from discfg_core.cli.output import Format, Output, OutputClosed, OutputFailed, discard_output
from discfg_core.cli.session import Session
from discfg_core.errors import DiscfgError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGE = "discfg_core.cli.commands"

_USAGE = 2
_FAILED = 1
_INTERRUPTED = 130
_PIPE_CLOSED = 141

# Where each command is: its module, and its name there.
_COMMANDS = {
    "create": "configs:create",
    "use": "working:use",
    "which": "working:which",
    "set": "keys:set_key",
    "get": "keys:get_key",
    "delete": "keys:delete_key",
    "list": "listing:list_keys",
    "document": "listing:document",
    "info": "configs:info",
    "history": "listing:history",
    "diff": "past:diff",
    "revert": "past:revert",
    "watch": "watching:watch",
    "commit": "transactions:commit",
    "replace": "past:replace",
    "update": "configs:update",
    "schema": "schema:schema",
    "configs": "configs:configs",
    "drop": "configs:drop",
    "undrop": "configs:undrop",
    "fsck": "stores:fsck",
    "doctor": "doctor:doctor",
    "engines": "engines:engines",
    "cfg": "cfg:cfg",
    "version": "stores:version",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, in the order written."""

    def __init__(self, *args: Any, lazy: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self.params.extend(shared_options())

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's signature
        """Give the names of the commands; none is imported."""
        return list(self._lazy)

    @override
    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - Click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; `None` if there is none of this name."""
        where = self._lazy.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command = getattr(import_module(f"{_PACKAGE}.{module}"), name)
        assert isinstance(command, click.Command), f"{where} is no command"
        return command


class _Interrupted(Exception):
    """Raised for an interrupt from the keyboard."""


class App(LazyGroup):
    """The whole program: runs a command, prints its error if it has one, gives the exit code."""

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run one command.

        Returns:
            The exit code; with `standalone_mode` the process ends with it instead.
        """
        words = list(sys.argv[1:] if args is None else args)
        this_run = Session(Output(_format_asked(words)))
        try:
            code = self._run(
                this_run,
                args=words,
                prog_name=prog_name or "discfg",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except OutputClosed:
            discard_output()
            code = _PIPE_CLOSED
        except OutputFailed as error:
            discard_output()
            this_run.output.note(f"the output could not be written: {error}")
            code = _FAILED
        if standalone_mode:
            sys.exit(code)
        return code

    @override
    def invoke(self, ctx: click.Context) -> Any:
        """Invoke a command; that it was interrupted is for `main` to say."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            # Click would print an empty line.
            raise _Interrupted from error

    def _run(self, this_run: Session, **how: Any) -> int:
        output = this_run.output
        debugged: Exception | None = None
        try:
            code = super().main(**how, obj=this_run)
        except DiscfgError as error:
            from discfg_core import wire

            output.error(wire.error_json(this_run.action, error), str(error))
            code, debugged = wire.exit_code(error), error
        except click.exceptions.NoArgsIsHelpError as error:
            if output.is_human:
                error.show()
            else:
                self._print_error(this_run, "usage", "no command is given")
            code = _USAGE
        except click.UsageError as error:
            self._print_error(this_run, "usage", _with_help(error))
            code, debugged = _USAGE, error
        except click.ClickException as error:
            self._print_error(this_run, "aborted", error.format_message())
            code, debugged = error.exit_code, error
        except SystemExit as error:
            # Click's own: completion for a shell, and a help text whose reader has gone.
            code = error.code
        except (_Interrupted, KeyboardInterrupt, click.Abort):
            self._print_error(this_run, "interrupted", "interrupted")
            code = _INTERRUPTED
        except (OutputClosed, OutputFailed):
            raise
        except Exception as error:  # noqa: BLE001 - a defect must not show as a traceback either
            what = f"unexpected {type(error).__name__}: {urls.redact(str(error))}"
            self._print_error(this_run, "internal", f"{what} (--debug shows where)")
            code, debugged = _FAILED, error
        if debugged is not None:
            output.traceback(debugged)
        return code if isinstance(code, int) else 0

    def _print_error(self, this_run: Session, code: str, message: str) -> None:
        this_run.output.error(
            {"action": this_run.action, "error": {"code": code, "message": message}}, message
        )


def _with_help(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split()).removesuffix(".")
    return f"{message} (see {error.ctx.command_path if error.ctx else 'discfg'} --help)"


def _format_asked(words: Sequence[str]) -> Format:
    """The format, for errors that come before the options are understood."""
    asked = Format.HUMAN
    for index, word in enumerate(words):
        if word == "--":
            break
        if word in {"-f", "--format"}:
            value = "".join(words[index + 1 : index + 2])
        else:
            value = word.removeprefix("--format=").removeprefix("-f")
        if value != word and value in set(Format):
            asked = Format(value)
    return asked


def _version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        print(f"discfg {__version__}")
        context.exit()


app = App(
    name="discfg",
    lazy=_COMMANDS,
    help="Versioned configuration, with the same guarantees on every store.",
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Print the version.",
        )
    ],
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see `discfg_core.cli.main`."""
    try:
        code: int = app.main(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code
