"""One invocation: what its options, the environment and `.discfg` make it work on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from discfg_core import urls
from discfg_core.cli import dotfile
from discfg_core.cli.output import Format, Output
from discfg_core.errors import StoreUnavailable
from discfg_core.keys import check_name

if TYPE_CHECKING:
    from pathlib import Path

    from discfg_core.store import Store

STORE_VARIABLE = "DISCFG_STORE"
DEFAULT_FILE = "discfg.db"

_AWS_SCHEMES = frozenset({"dynamodb", "s3"})


class Session:
    """The options that every command takes, and the store and config that follow from them.

    Attributes:
        output: Where results and errors go, in the format asked for.
        action: The command's name, for answers.
        store: ``--store``.
        config: ``-C``.
        timeout: Seconds.
        actor: ``--actor``; `None` stands for the login name.
        region, key_id, secret_key, profile: Of AWS, for stores there.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.action = "discfg"
        self.store: str | None = None
        self.config: str | None = None
        self.timeout: float | None = None
        self.actor: str | None = None
        self.region: str | None = None
        self.key_id: str | None = None
        self.secret_key: str | None = None
        self.profile: str | None = None
        self._in_use: dotfile.InUse | None = None

    def keep(self, option: str, value: Any) -> None:
        """Keep what an option said."""
        if option == "format":
            self.output.format = Format(value)
        elif option == "debug":
            self.output.debug = value
        else:
            setattr(self, option, value)
        if option == "secret_key":
            self.output.secret = value

    @property
    def in_use(self) -> dotfile.InUse:
        """What `.discfg` says; read once, and only if something depends on it."""
        if self._in_use is None:
            self._in_use = dotfile.read()
        return self._in_use

    def config_name(self, positional: str | None = None, *, explicit: bool = False) -> str:
        """The config to work on: as named among the arguments, by ``-C``, or in `.discfg`.

        Args:
            positional: Its name among the arguments, if any.
            explicit: Whether `.discfg` does not count.

        Raises:
            click.UsageError: It is named twice, or not at all.
            InvalidName: It is not a config's name.
        """
        if positional is not None and self.config is not None:
            raise click.UsageError("the config is named twice, by an argument and by -C")
        name = positional if positional is not None else self.config
        if name is None and explicit:
            raise click.UsageError("give the config's name")
        if name is None:
            name = self.in_use.config
        if name is None:
            raise click.UsageError(
                "no config is named: give -C NAME, or choose one for this directory "
                "with `discfg use NAME`"
            )
        return check_name(name)

    def url(self, explicit: str | None = None, *, makes: bool = False) -> str:
        """The store's URL; nothing is opened. It may hold a password.

        Args:
            explicit: As named by an argument of the command itself.
            makes: Whether a default store gets its directory.

        Raises:
            InvalidURL: It is none.
            StoreUnavailable: The directory cannot be made.
        """
        text = explicit if explicit is not None else self._chosen()
        if text is None:
            text = _default_url()
            if makes:
                _make(_directory(text))
        return self._with_aws(text, urls.parse(text).scheme)

    def open(self, explicit: str | None = None, *, writes: bool = False) -> Store:
        """The store, to be closed by the caller.

        Args:
            explicit: As for `url`.
            writes: Whether the command writes: then it has an actor, and a default store
                gets its directory.

        Raises:
            InvalidURL, EngineError, StoreError: It cannot be opened.
        """
        from discfg_core.engine import Guarantee
        from discfg_core.store import connect

        url = self.url(explicit, makes=writes)
        is_default = explicit is None and self._chosen() is None
        if is_default and not (writes or _directory(url).exists()):
            # Reading makes nothing, and nothing is what there is to read.
            url = "memory://"
        actor = _login_name() if writes and self.actor is None else self.actor or ""
        store = (
            connect(url, actor=actor)
            if self.timeout is None
            else connect(url, actor=actor, timeout=self.timeout)
        )
        if writes and Guarantee.DURABLE not in store.guarantees:
            self.output.note("this store ends with the command: nothing is kept")
        return store

    def _chosen(self) -> str | None:
        # An option that is empty is a script's mistake; a variable that is empty is one not set.
        if self.store is not None:
            return self.store
        return os.environ.get(STORE_VARIABLE) or self.in_use.store

    def _with_aws(self, url: str, scheme: str) -> str:
        given = {
            "--region": self.region,
            "--keyId": self.key_id,
            "--secretKey": self.secret_key,
            "--credProfile": self.profile,
        }
        names = [name for name, value in given.items() if value is not None]
        if not names:
            return url
        if scheme not in _AWS_SCHEMES:
            self.output.note(f"{', '.join(names)}: not used, this store is not on AWS")
            return url
        # Credentials never enter a URL: those are shown, and written to `.discfg`.
        if self.key_id is not None:
            os.environ["AWS_ACCESS_KEY_ID"] = self.key_id
        if self.secret_key is not None:
            os.environ["AWS_SECRET_ACCESS_KEY"] = self.secret_key
        options = {"region": self.region, "profile": self.profile}
        return _with_options(url, {k: v for k, v in options.items() if v is not None})


def _with_options(url: str, options: dict[str, str]) -> str:
    """A URL with these options in place of its own of the same names."""
    from urllib.parse import quote

    base, _, query = url.partition("?")
    kept = [piece for piece in query.split("&") if piece and piece.partition("=")[0] not in options]
    added = [f"{name}={quote(value, safe='')}" for name, value in options.items()]
    return f"{base}?{'&'.join(kept + added)}" if kept or added else base


def _default_url() -> str:
    import platformdirs

    directory = platformdirs.user_data_path("discfg", appauthor=False)
    return str(urls.StoreURL(scheme="sqlite", path=(directory / DEFAULT_FILE).as_posix()))


def _directory(url: str) -> Path:
    from pathlib import Path

    return Path(urls.parse(url).path).parent


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{directory} cannot be made: {error.strerror}",
            hint=f"name another store with --store or {STORE_VARIABLE}",
            retryable=False,
        ) from error


def _login_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user that nobody entered anywhere.
        return f"uid {os.getuid()}"
