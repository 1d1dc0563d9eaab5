"""``rethinkdb://host:28015/database``: a store in two tables of a RethinkDB database.

An acknowledged swap is on disk on a majority of the table's replicas. The tables,
``discfg_registers`` and ``discfg_blobs``, hold all configs of the database; the first write makes
them, and the database, where they are not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from discfg_core.engine import StorageEngine, engine_factory
from discfg_core.errors import InvalidOption, InvalidURL
from discfg_rethinkdb.profile import PROFILE, Options

if TYPE_CHECKING:
    import ssl

    from discfg_core.urls import StoreURL
    from discfg_rethinkdb.client import Target

__all__ = ["open_engine"]

# https://rethinkdb.com/api/javascript/db_create/, and its own database is not for others.
_DATABASE: Final = re.compile(r"(?!rethinkdb$)[A-Za-z0-9_-]{1,127}")
_ADMIN: Final = "admin"


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``rethinkdb://[user[:password]@]host[:port][,…]/database``.

    Nothing is connected yet. Without a user it is ``admin``, without a password the empty one,
    as a server has them when it is new.

    Raises:
        InvalidURL: There is no host, or no name of a database that RethinkDB takes.
        InvalidOption: An option is unknown, or a file that it names cannot be read.
    """
    # Here, because the driver takes a third of a second to import, and because a store's
    # module can be read, and tested, without the engine.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - see above
    from discfg_rethinkdb.substrate import RethinkDBSubstrate  # noqa: PLC0415 - see above

    return VersionedEngine(RethinkDBSubstrate(target(url)))


def target(url: StoreURL) -> Target:
    """What a URL says of whom to connect to. Raises as `open_engine`."""
    from discfg_rethinkdb.client import Target  # noqa: PLC0415 - see `open_engine`
    from discfg_rethinkdb.wire import Login  # noqa: PLC0415 - see `open_engine`

    options = url.options_as(Options)
    if not url.hosts:
        raise InvalidURL(
            f"{url} names no host",
            engine="rethinkdb",
            hint="write rethinkdb://host:28015/database",
        )
    if not _DATABASE.fullmatch(url.path):
        raise InvalidURL(
            f"{url} names no database that RethinkDB takes",
            engine="rethinkdb",
            hint="the path is its name: letters, digits, _ and -, and not `rethinkdb`",
        )
    user = _ADMIN if url.user is None else url.user
    if not (user.isascii() and user):
        raise InvalidURL(
            f"{url} has a user whose name the driver cannot send",
            engine="rethinkdb",
            hint="a user's name has ASCII characters only",
        )
    return Target(
        url=url,
        login=Login(user, url.password or ""),
        tls=_tls(options),
        database=url.path,
        replicas=options.replicas,
        connections=options.connections,
    )


def _tls(options: Options) -> ssl.SSLContext | None:
    if options.key and not options.cert:
        raise InvalidOption(
            "option 'key' needs option 'cert'",
            engine="rethinkdb",
            hint="give `cert` the file of the certificate that the key is of",
        )
    if not (options.tls or options.ca or options.cert):
        return None
    import ssl  # noqa: PLC0415 - only a URL that asks for TLS pays for it

    try:
        context = ssl.create_default_context(cafile=options.ca)
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"option 'ca' of rethinkdb:// cannot be used: {error}",
            engine="rethinkdb",
            hint="it is the path of a PEM file of certificates that this user may read",
        ) from error
    if options.cert:
        try:
            # Without a password of its own OpenSSL would ask for one at the terminal.
            context.load_cert_chain(options.cert, options.key, password="")
        except (OSError, ValueError) as error:
            raise InvalidOption(
                f"options 'cert' and 'key' of rethinkdb:// cannot be used: {error}",
                engine="rethinkdb",
                hint="they are paths of PEM files that this user may read; the key has no password",
            ) from error
    return context
