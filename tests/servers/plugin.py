"""The pytest plugin that brings the fixture `servers`, and says at the end what ran.

A test that needs a store asks for it by name::

    @pytest.fixture
    def place(servers: Servers) -> str:
        return f"{servers.url('etcd')}/{secrets.token_hex(8)}"

Nothing starts before a test asks. Where the server cannot run, the test is skipped with the
reason, or fails if `DISCFG_REQUIRE` (``etcd,s3``) names it; a server that can run and does not
start is always a failure. `DISCFG_TEST_<NAME>_URL` names a server that runs already.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.servers import find, names
from tests.servers.base import Server, ServerFailed
from tests.servers.broker import Answer, Broker, Request, ask, url_variable

_BROKER = pytest.StashKey[Broker]()
_FOLDER = pytest.StashKey[Path]()


def _set_credentials() -> None:
    """Credentials for the stores on loopback, and nobody's own ones.

    Only who names a store of AWS keeps what the variables said. Runs as the plugin is imported:
    before a client library can look.
    """
    if not any(os.environ.get(url_variable(name)) for name in ("s3", "dynamodb")):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
    # DynamoDB Local takes letters and digits only.
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "discfgtests")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "discfgtestssecret")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")


_set_credentials()


def required() -> list[str]:
    """The servers that `DISCFG_REQUIRE` names.

    Raises:
        UsageError: It names one that there is not.
    """
    asked = [name.strip() for name in os.environ.get("DISCFG_REQUIRE", "").split(",")]
    found = [name for name in asked if name]
    for name in found:
        if name not in names():
            raise pytest.UsageError(
                f"DISCFG_REQUIRE: no server is called {name!r}; there are {', '.join(names())}"
            )
    return found


class Servers:
    """The servers that tests may use: shared ones by `url`, one's own by `own`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: list[Server] = []
        self._told: set[str] = set()

    def url(self, name: str) -> str:
        """The discfg URL of the run's shared server of that name; starts it if need be.

        It is everybody's: use a place in it that nobody else has, and never stop it.

        Raises:
            Skipped: It cannot run here, or `Failed`, if `DISCFG_REQUIRE` names it.
            ServerFailed: It did not start, or died.
        """
        return self._ask(Request(name, start=True)).url

    def own(self, name: str, *, start: bool = True, **options: Any) -> Server:
        """A server of the caller's own, to be killed and paused; close it, or use it in a with.

        Args:
            name: As for `url`.
            start: Whether to start it, too.
            options: What its class takes besides the folder.

        Raises:
            Skipped: As by `url`, and `Failed`.
            ServerFailed: It did not start.
        """
        self._ask(Request(name))
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-own-", dir=self._folder))
        server = find(name)(folder, **options)
        self._own.append(server)
        if start:
            try:
                server.start()
                if name not in self._told:
                    self._ask(Request(name, ran=server.version))
                    self._told.add(name)
            except BaseException:
                server.close()
                raise
        return server

    def close(self) -> None:
        """Close what is left of the caller's own."""
        while self._own:
            self._own.pop().close()

    def _ask(self, request: Request) -> Answer:
        answer = ask(self._folder, request)
        if answer.failed:
            raise ServerFailed(answer.failed)
        if answer.missing:
            reason = f"{request.name}: {answer.missing}"
            if request.name in required():
                pytest.fail(f"{reason}, and DISCFG_REQUIRE asks for it", pytrace=False)
            pytest.skip(reason)
        return answer


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Any:
    """`Servers`: the real servers that there are, each started when it is first asked for."""
    found = Servers(pytestconfig.stash[_FOLDER])
    yield found
    found.close()


# --- the run ---


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_FOLDER] = Path(worker["discfg_servers"])
        return
    required()
    broker = config.stash[_BROKER] = Broker()
    config.stash[_FOLDER] = broker.folder


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist where the run's servers are."""
    node.workerinput["discfg_servers"] = str(node.config.stash[_FOLDER])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run of everything without a required server has not passed."""
    config = session.config
    broker = config.stash.get(_BROKER, None)
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(
        getattr(config.option, name, None)
        for name in ("keyword", "markexpr", "deselect", "lf", "stepwise", "collectonly")
    )
    if broker is not None and session.exitstatus == pytest.ExitCode.OK:
        unused = set(required()) - broker.ran if everything else set()
        if unused or broker.died:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of the run: what ran, and what did not."""
    broker = config.stash.get(_BROKER, None)
    if broker is None:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    say = reporter.write_line if reporter is not None else print
    died, summary = broker.died, broker.summary()
    failed = reporter is None or bool(died) or any(map(reporter.stats.get, ("failed", "error")))
    broker.close(keep_logs=failed)
    for name, log in died.items():
        say(f"the shared {name} died by itself:\n{log}")
    if broker.folder.exists():
        say(f"the servers' logs: {broker.folder}")
    for name in sorted(set(required()) - broker.ran):
        say(f"DISCFG_REQUIRE: no test ran on {name}")
    if summary:
        say(summary)
