"""DynamoDB: Amazon's DynamoDB Local, with its data on disk."""

from __future__ import annotations

import http.client
import subprocess
from typing import Final

from tests.servers.base import FETCHED, Server, program

REGION: Final = "us-east-1"

_JAR: Final = FETCHED / "dynamodb" / "emulator" / "DynamoDBLocal.jar"


class DynamoDBServer(Server):
    """DynamoDB Local, for any credentials, in one database for all of them."""

    name = "dynamodb"
    product = "DynamoDB Local"

    @classmethod
    def requirement(cls) -> str | None:
        """As `Server.requirement`."""
        if program("java") is None:
            return "no `java` on PATH; moto stands in"
        if not _JAR.exists():
            return "no DynamoDBLocal.jar, which `make servers` fetches; moto stands in"
        return None

    def prepare(self) -> None:
        """The folder of its data."""
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        """Nothing that leaves the machine, and no more memory than it needs."""
        return [
            *_java(),
            "-Xmx512m",
            # Compiled once, quickly: a run of tests is over before more pays off.
            "-XX:TieredStopAtLevel=1",
            *("-jar", str(_JAR), "-port", str(self.port), "-disableTelemetry"),
            *("-sharedDb", "-dbPath", str(self.folder / "data")),
        ]

    def ready(self) -> bool:
        """It answers, if only that it wants more of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 400
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As `Server.url`; give it a ``&prefix=`` of your own."""
        return f"dynamodb://{REGION}?endpoint_url={self.endpoint}"

    @property
    def version(self) -> str:
        """As `Server.version`; it need not run."""
        command = [*_java(), "-jar", str(_JAR), "-version"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return told.stdout.strip().rpartition(" ")[2]


def _java() -> list[str]:
    return [str(program("java")), f"-Djava.library.path={_JAR.parent / 'DynamoDBLocal_lib'}"]
