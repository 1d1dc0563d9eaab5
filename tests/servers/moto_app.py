"""moto's server, one request after the other: ``python moto_app.py PORT``.

As it comes, it answers on many threads and locks nothing: of two conditional writes on one item
both may win (10 of 150 races of twelve, seen with moto 5.2.5 and a short switch interval of the
interpreter), which DynamoDB rules out.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class OneAtATime:
    """An application that handles no two requests at once.

    Args:
        app: What handles them.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Read first: a client that was stopped in the midst of sending holds up nobody else.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._app(environ, start_response))


def main() -> None:
    """Serve on loopback until somebody ends the process."""
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple(
        "127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=MotoRequestHandler
    )


if __name__ == "__main__":
    main()
