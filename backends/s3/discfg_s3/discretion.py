"""What botocore would write into a log: at level DEBUG it quotes requests and answers whole, and with
them the token of a session, which is a secret.
"""

from __future__ import annotations

import logging
import re
from typing import Final

_LOGGERS: Final = ("botocore.endpoint", "botocore.auth", "botocore.parsers")
# A header, in a mapping's repr or on a line of its own; an element of an error.
_TOKEN: Final = re.compile(
    r"""(x-amz-security-token['"]?:\s*(?:b?['"])?)[^'",\s]+|(<Token-\d+>)[^<]+""", re.IGNORECASE
)


def keep_out_of_logs() -> None:
    """From now on no session's token of any client of botocore's is in this process's logs."""
    for name in _LOGGERS:
        # Adding the same function twice adds it once.
        logging.getLogger(name).addFilter(_hide)


def _hide(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    hidden = _TOKEN.sub(r"\1\2***", text)
    if hidden != text:
        record.msg, record.args = hidden, ()
    return True
