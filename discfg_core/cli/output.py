"""Where results and errors go: for people, as JSON, or nowhere."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from discfg_core.cli import text as shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TextIO, TypeAlias

    from discfg_core.model import Node

    # Called for JSON alone: to make it may fetch large values.
    Answer: TypeAlias = Callable[[], Mapping[str, Any]]


class OutputClosed(Exception):
    """Raised when whoever reads standard output has gone."""


class OutputFailed(Exception):
    """Raised when output cannot be written, as to a full disk."""


class Format(StrEnum):
    """What ``-f`` chooses."""

    HUMAN = "human"
    JSON = "json"
    SILENT = "silent"


class Output:
    """Prints the result of one command, in one format.

    Results go to standard output, errors and remarks for people to standard error; with `JSON`
    errors go to standard output too, so that a program finds every answer in one place.

    Attributes:
        format: It.
        debug: Whether an error is followed by its traceback, on standard error.
        secret: Text that no message may hold, such as a key given as an option.
    """

    def __init__(self, format: Format = Format.HUMAN, *, debug: bool = False) -> None:  # noqa: A002 - the option's name
        self.format = format
        self.debug = debug
        self.secret: str | None = None

    @property
    def is_human(self) -> bool:
        """Whether a person reads."""
        return self.format is Format.HUMAN

    def result(self, answer: Answer, human: str) -> None:
        """Print a result.

        Args:
            answer: Makes the JSON.
            human: For people; made harmless here.
        """
        if self.format is Format.JSON:
            self._json(answer())
        elif self.is_human:
            self._out(shown.visible(human, lines=True) + "\n")

    def json(self, answer: Answer, bare: Mapping[str, Any]) -> None:
        """Print a result that is JSON for people too.

        Args:
            answer: Makes what programs get.
            bare: The result by itself, laid out for people.
        """
        if self.format is Format.JSON:
            self._json(answer())
        elif self.is_human:
            self._json(bare, pretty=True)

    def value(self, answer: Answer, node: Node) -> None:
        """Print a node's bare value.

        Its bytes go out untouched, nothing added, unless standard output is a terminal: that
        gets text alone, harmless, its last line ended.
        """
        if self.format is Format.JSON:
            self._json(answer())
        elif self.is_human and not _is_terminal(sys.stdout):
            _write(sys.stdout, node.value)
        elif self.is_human:
            try:
                value = node.value.decode()
            except UnicodeDecodeError:
                self.note(
                    f"{node.key} is {node.size:,} bytes of {node.content_type}: "
                    "send them to a file or another program, or use -f json"
                )
            else:
                self._out(shown.visible(value.removesuffix("\n"), lines=True) + "\n")

    def table(
        self,
        answer: Answer,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        nothing: str,
        more: str | None = None,
    ) -> None:
        """Print a table: laid out to the terminal's width on a terminal, else plain columns.

        Args:
            answer: Makes the JSON.
            header: Of each column.
            rows: Their cells, made harmless here.
            nothing: A remark for people where there are no rows.
            more: A remark for people below the rows.
        """
        if self.format is Format.JSON:
            self._json(answer())
        elif self.is_human:
            cells = [[shown.visible(cell) for cell in row] for row in rows]
            if not cells:
                self.note(nothing)
            elif _is_terminal(sys.stdout):
                self._out(_rich_table(header, cells))
            else:
                self._out(shown.aligned(header, cells))
            if more is not None:
                self.note(more)

    def lines(self, answer: Answer, lines: Sequence[str], *, nothing: str) -> None:
        """Print lines; where there are none the remark `nothing`."""
        if lines or not self.is_human:
            self.result(answer, "\n".join(map(shown.visible, lines)))
        else:
            self.note(nothing)

    def event(self, answer: Answer, human: str) -> None:
        """Print one of many results, on a line of its own, at once.

        Args:
            answer: Makes the JSON.
            human: For people; made harmless here.
        """
        if self.format is Format.JSON:
            self._json(answer(), pretty=False)
        elif self.is_human:
            self._out(shown.visible(human) + "\n")

    def note(self, remark: str) -> None:
        """Print a remark for people on standard error."""
        if self.is_human:
            self._err(remark)

    def error(self, answer: Mapping[str, Any], human: str) -> None:
        """Print an error: one line for people, or its JSON."""
        if self.format is Format.JSON:
            self._json(_with_text(answer, lambda text: self._masked(shown.encodable(text))))
        elif self.is_human:
            self._err(human)

    def ask(self, question: str) -> None:
        """Put a question to whoever types; on standard error, so that a result stands alone."""
        self._tell(shown.visible(question))

    def traceback(self, error: BaseException) -> None:
        """Print where an error came from, if asked to debug."""
        if self.debug:
            import traceback

            from discfg_core.urls import redact

            lines = redact("".join(traceback.format_exception(error)))
            self._tell(self._masked(shown.visible(lines, lines=True)))

    def _json(self, answer: Mapping[str, Any], *, pretty: bool | None = None) -> None:
        """Print JSON; laid out on a terminal, else on one line, where `pretty` does not say."""
        import msgspec

        from discfg_core import wire

        encoded = wire.encode(answer)
        if _is_terminal(sys.stdout) if pretty is None else pretty:
            encoded = msgspec.json.format(encoded)
        _write(sys.stdout, shown.json_escaped(encoded.decode()).encode() + b"\n")

    def _out(self, printed: str) -> None:
        _print(sys.stdout, printed)

    def _err(self, line: str) -> None:
        self._tell(f"discfg: {self._masked(shown.visible(line))}\n")

    def _tell(self, printed: str) -> None:
        # Where nobody reads standard error the exit code must still be the error's own.
        with suppress(OutputClosed, OutputFailed):
            _print(sys.stderr, printed)

    def _masked(self, printed: str) -> str:
        return printed.replace(self.secret, "***") if self.secret else printed


def _with_text(part: Any, change: Callable[[str], str]) -> Any:
    """The same answer with each of its texts changed."""
    if isinstance(part, str):
        return change(part)
    if isinstance(part, dict):
        return {name: _with_text(value, change) for name, value in part.items()}
    return part


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print(stream: TextIO | None, printed: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    _write(stream, printed.encode(encoding, "backslashreplace"))


def _write(stream: TextIO | None, raw: bytes) -> None:
    if stream is None:
        raise OutputFailed("it was closed before the command began")
    # Not an OSError from here on: Click would end the process by itself on a closed pipe.
    try:
        stream.flush()
        stream.buffer.write(raw)
        stream.buffer.flush()
    except BrokenPipeError as error:
        raise OutputClosed from error
    except OSError as error:
        raise OutputFailed(error.strerror) from error


def discard_output() -> None:
    """Let nothing more be written to a closed pipe, at the interpreter's end neither."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def _rich_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        # Text, not str: a value such as "[red]" is no markup.
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
