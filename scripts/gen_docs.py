"""Write the generated parts of the documentation, or check them with `--check`.

A page says what goes where, and everything around it is written by hand:

    <!-- generated: errors -->
    ...
    <!-- /generated -->

or holds a file of the repository, which the tests run as it stands there:

    <!-- included: tests/plugin_fixture/pyproject.toml -->
    ...
    <!-- /included -->

The README of a backend has a part `profile` about its own engine. What is generated comes from
the code alone, so that it cannot be wrong for long: `make check` fails while a page lags behind.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import click
import msgspec

from discfg_core import arguments, engine, errors, keys, values, wire
from discfg_core.cli.app import app
from discfg_core.cli.options import shared_options
from discfg_core.cli.output import Output
from discfg_core.cli.session import Session
from discfg_core.versioned import format as stored
from discfg_core.versioned import ids, prepare
from scripts import engine_docs
from scripts.markdown import one_line, table

ROOT = Path(__file__).resolve().parents[1]

MEANINGS: dict[str, dict[str, str]] = tomllib.loads(
    (ROOT / "scripts" / "format_fields.toml").read_text(encoding="utf-8")
)

_PART = re.compile(
    r"(?P<open><!-- generated: ?(?P<name>[\w -]+) -->\n).*?(?P<close><!-- /generated -->)",
    re.DOTALL,
)
_FILE = re.compile(
    r"(?P<open><!-- included: (?P<name>[\w./-]+) -->\n).*?(?P<close><!-- /included -->)",
    re.DOTALL,
)
_LANGUAGES = {".py": "python", ".toml": "toml"}


# --- errors -----------------------------------------------------------------------------


def error_classes() -> list[type[errors.DiscfgError]]:
    """Return the public error classes, in the order of their module."""
    return [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.DiscfgError)
    ]


def errors_table() -> str:
    """Return what each class of errors means to a caller."""
    return table(
        ("class", "is a", "code", "exit code", "HTTP status", "retryable", "raised when"),
        (
            (
                f"`{kind.__name__}`",
                f"`{kind.__base__.__name__}`" if kind.__base__ else "",
                f"`{kind.code}`",
                str(_outcome(kind).exit_code),
                str(_outcome(kind).http_status.value),
                "yes" if kind.default_retryable else "no",
                _raised_when(kind),
            )
            for kind in error_classes()
        ),
    )


def _outcome(kind: type[errors.DiscfgError]) -> wire.Outcome:
    return next(wire.OUTCOMES[each] for each in kind.__mro__ if each in wire.OUTCOMES)


def _raised_when(kind: type[errors.DiscfgError]) -> str:
    first = one_line((kind.__doc__ or "").partition("\n\n")[0])
    when = first.removeprefix("Raised when ")
    if when == first:
        raise SystemExit(f"{kind.__name__}: its docstring does not begin with `Raised when`")
    return when.removesuffix(".")


# --- limits -----------------------------------------------------------------------------


_MIB = "MiB", 1024 * 1024
_KIB = "KiB", 1024
_BYTES = "bytes of UTF-8", 1
_PLAIN = "", 1

_LIMITS: list[tuple[str, ModuleType, str, tuple[str, int], type[errors.DiscfgError]]] = [
    ("a value", values, "MAX_VALUE_BYTES", _MIB, errors.ValueTooLarge),
    ("keys that a commit changes", engine, "MAX_COMMIT_KEYS", _PLAIN, errors.CommitTooLarge),
    ("operations in a commit", engine, "MAX_COMMIT_KEYS", _PLAIN, errors.CommitTooLarge),
    ("a key, with its leading `/`", keys, "MAX_KEY_BYTES", _BYTES, errors.InvalidKey),
    ("a config's name", keys, "MAX_NAME_LENGTH", ("characters", 1), errors.InvalidName),
    ("a message", engine, "MAX_MESSAGE_BYTES", ("KiB of UTF-8", 1024), errors.TextTooLong),
    ("an actor", engine, "MAX_ACTOR_BYTES", _BYTES, errors.TextTooLong),
    ("a commit id", engine, "MAX_COMMIT_ID_BYTES", _BYTES, errors.TextTooLong),
    ("settings, as JSON", prepare, "MAX_SETTINGS_BYTES", _KIB, errors.InvalidSettings),
    ("a time-out", arguments, "MAX_TIMEOUT_SECONDS", ("s", 1), errors.InvalidOption),
    (
        "a writer's clock behind the last commit, unless told otherwise",
        engine,
        "MAX_CLOCK_SKEW_SECONDS",
        ("s", 1),
        errors.ClockSkew,
    ),
]


def limits_table() -> str:
    """Return the limits that every engine has alike."""
    return table(
        ("what", "at most", "past it", "in the source"),
        (
            (
                what,
                f"{getattr(module, constant) / divisor:,g} {unit}".rstrip(),
                f"`{error.__name__}`",
                f"`{module.__name__.removeprefix('discfg_core.')}.{constant}`",
            )
            for what, module, constant, (unit, divisor), error in _LIMITS
        ),
    )


def window() -> str:
    """Return how far back an engine remembers commit ids."""
    return (
        f"An engine remembers the commit ids of the last {ids.WINDOW_COMMITS:,} commits, and all "
        f"of the last {ids.WINDOW_NS // (3600 * 10**9)} hours.\n"
    )


# --- the format -------------------------------------------------------------------------


def struct_table(name: str) -> str:
    """Return the fields of a stored struct: of a map by name, of an array by position."""
    info = msgspec.inspect.type_info(getattr(stored, name))
    if not isinstance(info, msgspec.inspect.StructType):
        raise SystemExit(f"{name} is no struct")
    meanings = MEANINGS[name]
    if list(meanings) != [field.name for field in info.fields]:
        raise SystemExit(f"scripts/format_fields.toml lacks, or has too many, fields of {name}")
    first = 0 if info.tag is None else 1
    rows = []
    if info.tag is not None:
        rows.append(["0", "", "integer", f"always {info.tag}: which operation it is"])
    for position, field in enumerate(info.fields, first):
        optional = "" if field.required else "; may be left out"
        rows.append(
            [
                str(position),
                f"`{field.name}`",
                type_name(field.type) + optional,
                meanings[field.name],
            ]
        )
    if not info.array_like:
        return table(("field", "type", "what it is"), (row[1:] for row in rows))
    return table(("element", "name", "type", "what it is"), rows)


def type_name(kind: msgspec.inspect.Type) -> str:
    """Return a type in the terms of msgpack."""
    simple = {
        msgspec.inspect.IntType: "integer",
        msgspec.inspect.StrType: "text",
        msgspec.inspect.BytesType: "bytes",
        msgspec.inspect.NoneType: "nil",
        msgspec.inspect.DictType: "map",
    }
    if type(kind) in simple:
        return simple[type(kind)]
    if isinstance(kind, msgspec.inspect.StructType):
        return f"`{kind.cls.__name__}`"
    if isinstance(kind, msgspec.inspect.ListType):
        return f"array of {type_name(kind.item_type)}"
    if isinstance(kind, msgspec.inspect.TupleType):
        return "array of " + ", ".join(map(type_name, kind.item_types))
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(map(type_name, kind.types))
    raise SystemExit(f"no word for {kind}")


# --- the command line -------------------------------------------------------------------


def shared_options_table() -> str:
    """Return the options that every command takes."""
    return options_table(shared_options())


def commands() -> str:
    """Return each command with its arguments, its help and its own options."""
    return "\n".join(_commands(app, "discfg"))


def _commands(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path, obj=Session(Output()))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise SystemExit(f"{path} has no command {name}")
        if isinstance(command, click.Group):
            listed = ", ".join(f"`{each}`" for each in command.list_commands(context))
            yield f"### {path} {name}\n\n{help_text(command)}\nIts commands: {listed}.\n"
            continue
        inner = click.Context(command, info_name=name, parent=context)
        pieces = [piece for piece in command.collect_usage_pieces(inner) if piece != "[OPTIONS]"]
        yield f"### {path} {name}\n"
        yield f"```text\n{' '.join([path, name, *pieces, '[OPTIONS]'])}\n```\n\n{help_text(command)}"
        own = options_table(command.params, without=shared_options())
        if own:
            yield own


def help_text(command: click.Command) -> str:
    """Return a command's help as Markdown; what Click must not wrap is a block."""
    parts = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        verbatim = paragraph.removeprefix("\b\n").removeprefix("\\b\n")
        if verbatim == paragraph:
            parts.append(one_line(paragraph) + "\n")
        else:
            parts.append(f"```text\n{verbatim}\n```\n")
    return "\n".join(parts)


def options_table(
    params: Iterable[click.Parameter], without: Iterable[click.Parameter] = ()
) -> str:
    """Return the options among parameters, but for those left out; nothing if there are none."""
    left_out = {param.name for param in without} | {"help"}
    rows = []
    for param in params:
        if not isinstance(param, click.Option) or param.name in left_out:
            continue
        spelled = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        rows.append((f"{spelled} {_taken(param)}".rstrip(), one_line(param.help or "")))
    return table(("option", "what it does"), rows) if rows else ""


def _taken(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return "`" + "|".join(str(choice) for choice in option.type.choices) + "`"
    return f"`{option.metavar or option.type.name.split()[0].upper()}`"


# --- pages ------------------------------------------------------------------------------

_GENERATORS: dict[str, Callable[[], str]] = {
    "errors": errors_table,
    "limits": limits_table,
    "thresholds": engine_docs.thresholds,
    "engines": engine_docs.comparison,
    "embedded": engine_docs.embedded,
    "window": window,
    "options": shared_options_table,
    "commands": commands,
}


def generated(name: str, page: Path) -> str:
    """Return the text of a part.

    A struct of the stored format is a part by its name; ``profile`` is of the backend whose
    README the page is.
    """
    if name == "profile" and page.parent.parent == ROOT / "backends":
        return engine_docs.profile_part(engine_docs.profile_of(page.parent))
    if name in MEANINGS:
        return struct_table(name)
    if name not in _GENERATORS:
        raise SystemExit(f"no generated part is called {name!r}")
    return _GENERATORS[name]()


def included(name: str) -> str:
    """Return a file of the repository as a block; one that is Python is marked as not to run."""
    file = ROOT / name
    if not file.is_file():
        raise SystemExit(f"there is no {name} to include")
    language = _LANGUAGES.get(file.suffix, "text")
    mark = "<!-- not run: this file is, by its tests -->\n" if language == "python" else ""
    return f"{mark}```{language}\n{file.read_text(encoding='utf-8').strip()}\n```"


def pages() -> list[Path]:
    """Return the pages that may hold generated parts."""
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "backends").glob("*/README.md")),
    ]


def rendered(text: str, page: Path) -> str:
    """Return a page's text with its generated parts, and the files in it, as they should be."""
    made = _PART.sub(
        lambda found: (
            f"{found['open']}\n{generated(found['name'], page).strip()}\n\n{found['close']}"
        ),
        text,
    )
    made = _FILE.sub(
        lambda found: f"{found['open']}\n{included(found['name'])}\n\n{found['close']}", made
    )
    for word, part in (("generated", _PART), ("included", _FILE)):
        if made.count(f"<!-- {word}:") != len(part.findall(made)):
            raise SystemExit(f"{page.name}: a mark `{word}` has no end, or is misspelt")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or say which lag behind; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and tell what lags")
    check = parser.parse_args(argv).check
    lagging = 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        wanted = rendered(text, page)
        if wanted == text:
            continue
        lagging += 1
        name = page.relative_to(ROOT)
        if check:
            print(f"{name}: its generated parts lag behind the code (make docs)", file=sys.stderr)
        else:
            page.write_text(wanted, encoding="utf-8")
            print(f"{name}: written")
    if check and not lagging:
        print("Generated documentation is current.")
    return int(check and lagging > 0)


if __name__ == "__main__":
    sys.exit(main())
