"""A second DynamoDB: the server of `moto`, which forgets everything when it ends."""

from __future__ import annotations

import http.client
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Final

from tests.servers.base import Server

REGION: Final = "us-east-1"

_APP: Final = Path(__file__).with_name("moto_app.py")


class MotoServer(Server):
    """moto's server, for any credentials."""

    name = "moto"
    product = "moto, as DynamoDB"
    keeps_data = False

    @classmethod
    def requirement(cls) -> str | None:
        """As `Server.requirement`."""
        found = importlib.util.find_spec("moto") and importlib.util.find_spec("flask")
        return None if found else "no `moto[server]`"

    def command(self) -> list[str]:
        """As `Server.command`."""
        # Not from its folder, where this module has the name of the library.
        return [sys.executable, "-P", str(_APP), str(self.port)]

    def ready(self) -> bool:
        """It answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/moto-api/")
            return connection.getresponse().status < 500
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
        return importlib.metadata.version("moto")
