"""Store URLs: parsed strictly, spelled in one way, and never shown with a secret.

    scheme://[user[:password]@][host[:port][,host[:port]…]][/path][?option=value[&…]]

Nothing is stripped or guessed: what does not fit is `InvalidURL`, and the message says how to
write it. Which parts a store needs, and which options it knows, is its engine's business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from discfg_core.errors import InvalidOption, InvalidURL

MASK = "***"

_Options = TypeVar("_Options", bound=msgspec.Struct)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST = re.compile(r"[A-Za-z0-9._~-]+")
_PORT = re.compile(r"[0-9]{1,5}")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_PLAIN = "-._~!$'()*+,;:="  # stands for itself in every part but a user's name
_HOSTS_LIKE = "such as scheme://host, scheme://host:2379 or scheme://[::1]:2379,[::2]:2379"
_HOW_TO_ESCAPE = "write @ as %40, / as %2F, ? as %3F, # as %23, % as %25, a space as %20"


class Host(NamedTuple):
    """One of the hosts of a URL, in lower case; an IPv6 address without its brackets."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class StoreURL(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A store's URL. Its text forms (`str`, `repr`) are canonical and show no secret.

    Attributes:
        scheme: In lower case.
        user: Decoded; ``None`` where none is given.
        password: Decoded; ``None`` where none is given. A secret.
        hosts: In the order given; none where the authority is empty.
        path: Decoded, without the one ``/`` that ends the authority, so that ``sqlite:///a.db``
            has ``a.db`` and ``sqlite:////var/a.db`` has ``/var/a.db``.
        options: Decoded, sorted by name. ``+`` is a plus sign. Some are secrets.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    hosts: tuple[Host, ...] = ()
    path: str = ""
    options: Mapping[str, str] = {}

    def redacted(self) -> StoreURL:
        """The same URL with ``***`` for its password and the secrets among its options."""
        return msgspec.structs.replace(
            self,
            password=None if self.password is None else MASK,
            options={
                name: MASK if _is_secret(name) else _redact_whole(value)
                for name, value in self.options.items()
            },
        )

    def scrub(self, text: str) -> str:
        """`text` without any secret of this URL, and redacted besides.

        For what a store's own client says, which may quote a password on its own.
        """
        secrets = {value for name, value in self.options.items() if _is_secret(name)}
        secrets.add(self.password or "")
        spellings = {form for secret in secrets for form in (secret, _escape(secret, ""))}
        # The longest first: a password may hold another secret.
        for secret in sorted(spellings - {""}, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return redact(text)

    def options_as(self, kind: type[_Options]) -> _Options:
        """The options as an engine's own frozen struct, text converted to each field's type.

        Raises:
            InvalidOption: One is unknown, missing, or its value is not what the field takes.
        """
        known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name, value in self.options.items():
            if name not in known:
                listed = ", ".join(sorted(known)) or "none"
                raise InvalidOption(
                    f"{self.scheme}:// has no option {name!r}",
                    engine=self.scheme,
                    hint=f"the options it knows: {listed}",
                )
            self._check_option(name, value, known[name].type)
        try:
            return msgspec.convert(dict(self.options), kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidOption(
                f"{self.scheme}:// cannot take these options: {self.scrub(str(error))}",
                engine=self.scheme,
            ) from None

    def _check_option(self, name: str, value: str, kind: Any) -> None:
        reason = _refusal(value, kind)
        if reason is not None:
            # Not chained: the cause may quote the value, which may be a secret.
            shown = MASK if _is_secret(name) else _redact_whole(value)
            raise InvalidOption(
                f"option {name!r} of {self.scheme}:// is {shown!r}",
                engine=self.scheme,
                hint=_expectation(kind, reason),
            )

    def __str__(self) -> str:
        shown = self.redacted()
        text = [shown.scheme, "://"]
        if shown.user is not None:
            text.append(_escape(shown.user, _PLAIN.replace(":", "")))
            if shown.password is not None:
                text += [":", _escape(shown.password, _PLAIN)]
            text.append("@")
        text.append(",".join(map(str, shown.hosts)))
        if shown.path:
            text += ["/", _escape(shown.path, _PLAIN + "/")]
        for i, (name, value) in enumerate(sorted(shown.options.items())):
            text += ["&" if i else "?", _escape(name, ""), "=", _escape(value, _PLAIN + "/?")]
        return "".join(text)

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"

    def __rich_repr__(self) -> Any:
        # Rich would print every field of a struct, the password among them.
        yield str(self)


def parse(text: str) -> StoreURL:
    """A store's URL, taken apart.

    Raises:
        InvalidURL: It is none. The message quotes it without its secrets.
    """
    if not isinstance(text, str):
        raise InvalidURL(f"a store's URL is text, not {type(text).__name__}")
    scheme, colon, rest = text.partition("://")
    if not text:
        raise InvalidURL("the store's URL is empty")
    if not colon:
        raise InvalidURL(f"{_shown(text)} has no scheme", hint=_missing_scheme(text))
    _check_characters(text)
    if not _SCHEME.fullmatch(scheme):
        raise _invalid(text, "what stands before :// is not a scheme", InvalidURL.default_hint)
    before, question, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if ":" in authority and "@" in path + query:
        # Else "etcd://u:1/2@host" would be host "u", port 1, and half a password in the path.
        raise _invalid(text, "its @ may end a password or not")
    credentials, at, addresses = authority.rpartition("@")
    user, has_password, password = credentials.partition(":")
    if at and not (credentials and addresses):
        raise _invalid(text, "its @ needs a user before it and a host behind it")
    return StoreURL(
        scheme=scheme.lower(),
        user=_unescape(text, "user", user) if at else None,
        password=_unescape(text, "password", password) if has_password else None,
        hosts=_hosts(text, addresses),
        path=_unescape(text, "path", path),
        options=_options(text, query) if question else {},
    )


def normalise(text: str) -> str:
    """The canonical spelling of a URL, without its secrets: ``str(parse(text))``.

    Raises:
        InvalidURL: It is none.
    """
    return str(parse(text))


def redact(text: str) -> str:
    """Any text with ``***`` for the passwords in its URLs and for secret options; idempotent.

    The text may be a sentence, the URL invalid; rather too much is hidden than too little.
    """
    text = _PASSWORD.sub(rf"\1{MASK}@", text)
    text = _PASSWORD_WITH_SPACE.sub(rf"\1{MASK}@", text)
    return _redact_options(text)


# From the first colon after "://" to the last @ of the word, whatever is in between: a
# password written raw may hold each of the URL's own delimiters.
_PASSWORD = re.compile(r"(://[^\s:]*:)\S*@")
# A raw password may even hold a space. What begins like a port is none.
_PASSWORD_WITH_SPACE = re.compile(r"(://[^\s:/?#@\[]*:)(?![0-9]{1,5}\b)[^@\n]*@")
_ASSIGNMENT = re.compile(r"([^\s?&=#;,'\"()]+)=")
# A secret written raw may hold "&"; a further option would have a name and "=".
_VALUE = re.compile(r"(?:[^\s&]|&(?![^\s&=]+=))*")
_WHOLE = re.compile(r"(?:[^&]|&(?![^&=]+=))*")
# Words of an option's name, without "-", "_" and ".". Not "key": `key=` and `cert=` are paths.
_SECRET_WORDS = re.compile(
    "password|passwd|passphrase|pwd|secret|token|credential|signature"
    "|accesskey|authkey|apikey|privatekey|keyid|^(?:pass|pw|auth|sig)$"
)


def _is_secret(name: str) -> bool:
    return bool(_SECRET_WORDS.search(re.sub("[-_.]", "", name).lower()))


def _redact_options(text: str, value: re.Pattern[str] = _VALUE, *, nested: bool = False) -> str:
    done: list[str] = []
    position = 0
    while assignment := _ASSIGNMENT.search(text, position):
        done.append(text[position : assignment.end()])
        position = assignment.end()
        found = value.match(text, position)
        raw = found.group() if found else ""
        if raw and _is_secret(_unescape_loosely(assignment.group(1))):
            done.append(MASK)
            position += len(raw)
        elif "%" in raw and not nested:
            # An option may itself hold a URL, escaped.
            inner = _unescape_loosely(raw)
            hidden = _redact_options(_PASSWORD.sub(rf"\1{MASK}@", inner), _WHOLE, nested=True)
            if hidden != inner:
                done.append(_escape(hidden, _PLAIN + "/?"))
                position += len(raw)
    done.append(text[position:])
    return "".join(done)


def _redact_whole(text: str) -> str:
    """`redact` for what is no sentence, so that a space ends no secret."""
    return _redact_options(redact(text), _WHOLE)


def _shown(text: str) -> str:
    """All of `text` is one URL, perhaps a broken one: quoted for a message, without secrets."""
    scheme, separator, rest = text.partition("://")
    if not _SCHEME.fullmatch(scheme):
        scheme, separator, rest = "", "", text
    user, _, tail = rest.partition(":")
    if "@" in tail:
        rest = f"{user}:{MASK}@{tail.rpartition('@')[2]}"
    shown = _redact_whole(scheme + separator + rest)
    return repr(shown if len(shown) <= 200 else f"{shown[:200]}…")


def _invalid(text: str, why: str, hint: str | None = None) -> InvalidURL:
    return InvalidURL(f"{_shown(text)} is no store's URL: {why}", hint=hint or _HOW_TO_ESCAPE)


def _check_characters(text: str) -> None:
    for character in text:
        if character == " " or not character.isprintable():
            raise _invalid(text, f"it has the character {character!a}")
        if character == "\\":
            raise _invalid(text, "it has a backslash", "write it as / in a path, else as %5C")
        if character == "#":
            raise _invalid(text, "it has a #")


def _missing_scheme(text: str) -> str | None:
    if ":" in text and not _WINDOWS_PATH.match(text):
        return None
    path = text.replace("\\", "/")
    return f"for a file write sqlite:///{_escape(_redact_whole(path), _PLAIN + '/')}"


def _hosts(text: str, addresses: str) -> tuple[Host, ...]:
    return tuple(_host(text, address) for address in addresses.split(",")) if addresses else ()


def _host(text: str, address: str) -> Host:
    if address.startswith("["):
        name, bracket, after = address[1:].partition("]")
        host = _ipv6(text, _unescape(text, "address", name)) if bracket else ""
        _, colon, port = after.partition(":")
        if after and not after.startswith(":"):
            host = ""
    else:
        host, colon, port = address.partition(":")
        host = host.lower() if _HOST.fullmatch(host) else ""
    if not host:
        raise _invalid(
            text, "a host is a name in ASCII, or an IPv6 address in brackets", _HOSTS_LIKE
        )
    if not colon:
        return Host(host)
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _invalid(text, "a port is a number from 1 to 65535", _HOSTS_LIKE)
    return Host(host, int(port))


def _ipv6(text: str, address: str) -> str:
    import ipaddress  # noqa: PLC0415 - a few ms, and hardly any URL has one

    try:
        return str(ipaddress.IPv6Address(address))
    except ValueError:
        raise _invalid(text, "the brackets hold no IPv6 address", _HOSTS_LIKE) from None


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for number, piece in enumerate(query.split("&"), 1):
        # Only the number: a piece without "=" may be the rest of a secret that has a raw "&".
        raw_name, equals, raw_value = piece.partition("=")
        name = _unescape(text, "option", raw_name)
        if not equals or not _OPTION_NAME.fullmatch(name):
            raise _invalid(text, f"option {number} is not name=value", "write & in a value as %26")
        if name in options:
            raise _invalid(text, f"option {name!r} is there twice", "give each option once")
        options[name] = _unescape(text, "option", raw_value)
    return dict(sorted(options.items()))


def _unescape(text: str, part: str, raw: str) -> str:
    if _BAD_ESCAPE.search(raw):
        raise _invalid(text, f"a % in its {part} is not followed by two hex digits")
    try:
        decoded = _ESCAPE.sub(_byte, raw.encode()).decode()
    except UnicodeDecodeError:
        raise _invalid(text, f"its {part} is not UTF-8") from None
    if _CONTROL.search(decoded):
        raise _invalid(text, f"its {part} has a control character")
    return decoded


def _unescape_loosely(raw: str) -> str:
    return _ESCAPE.sub(_byte, raw.encode(errors="replace")).decode(errors="replace")


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape.group(1), 16)])


def _escape(text: str, plain: str) -> str:
    return "".join(
        character
        if character.isalnum() or character in plain or character in "-._~"
        else "".join(f"%{byte:02X}" for byte in character.encode(errors="replace"))
        for character in text
    )


def _refusal(value: str, kind: Any) -> str | None:
    try:
        converted = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        return str(error)
    if isinstance(converted, float) and not math.isfinite(converted):
        return "Expected a finite number"
    return None


def _expectation(kind: Any, reason: str) -> str:
    """What an option takes, in words, from its type and what the conversion objected to."""
    from msgspec import inspect  # noqa: PLC0415 - only a refused option needs it

    info = inspect.type_info(kind)
    choices: list[str] = []
    for part in info.types if isinstance(info, inspect.UnionType) else (info,):
        if isinstance(part, inspect.EnumType):
            choices += [str(member.value) for member in part.cls]
        elif isinstance(part, inspect.LiteralType):
            choices += [str(value) for value in part.values]
        elif isinstance(part, inspect.BoolType):
            choices += ["true", "false"]
    if choices:
        return "it is one of " + ", ".join(choices)
    if "out of range" in reason:
        return "the number is out of range: give a smaller one"
    return f"it is to be {reason.partition(', got')[0].removeprefix('Expected ')}"
