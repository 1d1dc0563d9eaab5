"""Store URLs: what is accepted, how it is spelled, and that no secret is ever shown."""

from __future__ import annotations

import io
import pickle
import traceback
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import pretty_repr

from discfg_core.errors import InvalidOption, InvalidURL
from discfg_core.urls import Host, StoreURL, normalise, parse, redact

quiet = settings(deadline=None)

ACCEPTED: list[tuple[str, StoreURL]] = [
    ("sqlite:///app.db", StoreURL("sqlite", path="app.db")),
    ("sqlite:////var/app.db", StoreURL("sqlite", path="/var/app.db")),
    ("sqlite:///C:/dir/app.db", StoreURL("sqlite", path="C:/dir/app.db")),
    ("sqlite:///a%20b%3F%23%25.db", StoreURL("sqlite", path="a b?#%.db")),
    ("sqlite:///dir@3.11/app.db", StoreURL("sqlite", path="dir@3.11/app.db")),
    ("sqlite:///é.db", StoreURL("sqlite", path="é.db")),
    # The engine says that a host is no path; it must be able to see it.
    ("sqlite://app.db", StoreURL("sqlite", hosts=(Host("app.db"),))),
    ("sqlite://", StoreURL("sqlite")),
    ("memory://Name", StoreURL("memory", hosts=(Host("name"),))),
    ("s3://bucket/a/b", StoreURL("s3", hosts=(Host("bucket"),), path="a/b")),
    ("s3://bucket/", StoreURL("s3", hosts=(Host("bucket"),))),
    ("s3://bucket//a/", StoreURL("s3", hosts=(Host("bucket"),), path="/a/")),
    (
        "s3://b?endpoint=http://127.0.0.1:8333&region=x",
        StoreURL(
            "s3",
            hosts=(Host("b"),),
            options={"endpoint": "http://127.0.0.1:8333", "region": "x"},
        ),
    ),
    (
        "dynamodb://us-east-1?prefix=x",
        StoreURL("dynamodb", hosts=(Host("us-east-1"),), options={"prefix": "x"}),
    ),
    (
        "ETCD://u:p%40s+s%2f@h1:2379,[::1]:80,[FE80:0::1%25eth0],H_4/pre",
        StoreURL(
            "etcd",
            "u",
            "p@s+s/",
            (Host("h1", 2379), Host("::1", 80), Host("fe80::1%eth0"), Host("h_4")),
            "pre",
        ),
    ),
    ("x://u:a@b:c@h", StoreURL("x", "u", "a@b:c", (Host("h"),))),
    ("x://u@h", StoreURL("x", "u", None, (Host("h"),))),
    ("x://u:@h", StoreURL("x", "u", "", (Host("h"),))),
    ("x://:p@h", StoreURL("x", "", "p", (Host("h"),))),
    (
        "x+y-z.1://h?a=&b=c=d+e",
        StoreURL("x+y-z.1", hosts=(Host("h"),), options={"a": "", "b": "c=d+e"}),
    ),
]


@pytest.mark.parametrize(("text", "url"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_what_is_accepted(text: str, url: StoreURL) -> None:
    assert parse(text) == url


REFUSED = [
    ("", "is empty"),
    ("app.db", "sqlite:///app.db"),
    ("/var/my app.db", "sqlite:////var/my%20app.db"),
    ("C:\\dir\\app.db", "sqlite:///C:/dir/app.db"),
    ("sqlite", "sqlite:///sqlite"),
    ("sqlite:app.db", "has no scheme"),
    ("sqlite:/app.db", "has no scheme"),
    ("://h", "is not a scheme"),
    ("1x://h", "is not a scheme"),
    ("a b://h", "' '"),
    (" memory://x", "' '"),
    ("memory://x ", "' '"),
    ("memory://x\n", r"'\n'"),
    ("mem\tory://x", r"'\t'"),
    ("memory://x\x00", r"'\x00'"),
    ("memory://\u200bx", r"'\u200b'"),
    ("memory://\udcff", r"'\udcff'"),
    ("sqlite:///C:\\dir", "backslash"),
    ("memory://x#y", "#"),
    ("memory://naïve", "ASCII"),
    ("x://h,,i", "a host is"),
    ("x://h%41", "a host is"),
    ("x://u@", "its @ needs"),
    ("x://@h", "its @ needs"),
    ("x://h:", "a port is"),
    ("x://h:0", "a port is"),
    ("x://h:65536", "a port is"),
    ("x://h:+1", "a port is"),
    ("x://h:" + "1" * 5000, "a port is"),
    ("x://h:٣", "a port is"),
    ("x://[::1", "a host is"),
    ("x://[::1]80", "a host is"),
    ("x://[]", "no IPv6 address"),
    ("x://[nope]", "no IPv6 address"),
    ("x://::1", "a host is"),
    ("x://h/%", "two hex digits"),
    ("x://h/%4", "two hex digits"),
    ("x://h/%zz", "two hex digits"),
    ("x://h/%ff", "UTF-8"),
    ("x://h/%00", "control character"),
    ("x://h?a=%0a", "control character"),
    ("x://h?", "option 1"),
    ("x://h?a=1&", "option 2"),
    ("x://h?a", "option 1"),
    ("x://h?=1", "option 1"),
    ("x://h?a=1&a=2", "twice"),
    ("x://h?a=1&%61=2", "twice"),
    ("x://h?a%20b=1", "option 1"),
    ("x://u:1/2@h", "may end a password"),
    ("x://u:p?q@h", "may end a password"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[repr(text)[:40] for text, _ in REFUSED])
def test_what_is_refused_says_why(text: str, says: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse(text)
    assert says in str(caught.value)
    assert caught.value.hint


def test_only_text_is_a_url() -> None:
    with pytest.raises(InvalidURL, match="not bytes"):
        parse(b"sqlite:///app.db")  # type: ignore[arg-type]  # bad input, on purpose


def test_equal_urls_have_one_spelling() -> None:
    spellings = ["X://H/%61b?b=2&a=1", "x://h/ab?a=1&b=2", "x://h/a%62?%61=%31&b=2"]
    assert {normalise(text) for text in spellings} == {"x://h/ab?a=1&b=2"}
    assert normalise("s3://b/") == normalise("s3://b") == "s3://b"


def test_a_url_survives_pickling() -> None:
    url = parse("etcd://u:p@h:1/x?a=1")
    assert pickle.loads(pickle.dumps(url)) == url


# --- fuzzing --------------------------------------------------------------------------

DELIMITERS = "abcAZ019:/?#[]@!$&'()*+,;=%.-_~ \\\"\n\té٣\u200b"
noise = st.text(st.sampled_from(DELIMITERS) | st.characters(), max_size=40)
bracketed = st.sampled_from(["[::1]", "[::1]:1", "h", "h:80", "H.x", ""])
urlish = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["x", "ETCD", "s3", "1", ""]),
    st.sampled_from(["", "u@", "u:p@", "u:%40@", ":p@"]),
    st.lists(bracketed, max_size=3).map(",".join),
    st.sampled_from(["", "/", "//"]).flatmap(lambda a: noise.map(lambda b: a + b if a else "")),
    st.lists(
        st.tuples(st.sampled_from(["a", "token", "keyid", "%61", "endpoint", "x.y-Z_1"]), noise),
        max_size=3,
    ).map(lambda pairs: "?" + "&".join(f"{a}={b}" for a, b in pairs) if pairs else ""),
)


@quiet
@given(noise | urlish | urlish.map(lambda text: "".join(text.split()).replace("%", "%25")))
@example("x://h?a=token=b%20c")
@example("x://h?a=http://u:p%2540%20q%40h")
@example("x://u:***@h?token=***")
def test_parse_raises_nothing_but_invalid_url(text: str) -> None:
    try:
        url = parse(text)
    except InvalidURL:
        return
    canonical = str(url)
    assert parse(canonical) == url.redacted()
    assert str(parse(canonical)) == canonical
    assert redact(canonical) == canonical
    assert repr(url) == f"StoreURL({canonical!r})"


parts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)


@quiet
@given(
    user=st.none() | parts.filter(bool),
    password=st.none() | parts,
    path=parts,
    value=parts,
)
def test_what_is_built_is_what_is_parsed(
    user: str | None, password: str | None, path: str, value: str
) -> None:
    assume(user is not None or password is None)
    url = StoreURL("x", user, password, (Host("h", 1),), path, {"a": value})
    assert parse(str(url)) == url.redacted()


@quiet
@given(noise | urlish)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


# --- secrets --------------------------------------------------------------------------

raw_secret = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(
    lambda text: f"SEC{text}RET"
)


def assert_hidden(secret: str, shown: str) -> None:
    assert "SEC" not in shown
    assert "RET" not in shown
    assert secret not in shown


@quiet
@given(raw_secret)
@example("SEC/12@RET")
@example("SEC ://a:b@RET")
@example("SEC&a=b#RET")
@example("SEC://RET")
def test_a_raw_password_is_never_quoted_by_an_error(secret: str) -> None:
    for text in (
        f"etcd://u:{secret}@h:2379/x",
        f"u:{secret}@h",
        f"etcd:u:{secret}@h",
        f"etcd://u:1{secret}@h",
    ):
        try:
            shown = str(parse(text)) + repr(parse(text))
        except InvalidURL as error:
            shown = str(error)
        assert_hidden(secret, shown)


@quiet
@given(
    secret=raw_secret.filter(lambda text: "&" not in text),
    name=st.sampled_from(["password", "secretKey", "secret_key", "token", "access-key", "keyId"]),
)
def test_a_raw_secret_option_is_never_quoted_by_an_error(secret: str, name: str) -> None:
    try:
        shown = str(parse(f"s3://b/p?{name}={secret}&region=x"))
    except InvalidURL as error:
        shown = str(error)
    assert_hidden(secret, shown)


@quiet
@given(raw_secret.map(lambda text: "".join(text.split())), st.sampled_from(["", "h:1 said ", "("]))
def test_a_password_in_a_sentence_is_hidden(secret: str, before: str) -> None:
    shown = redact(f"{before}etcd://u:{secret}@host:2379/x refused us")
    assert_hidden(secret, shown)
    assert shown.endswith("@host:2379/x refused us")


SENTENCES = [
    ("cannot open etcd://u:p@h/x", "cannot open etcd://u:***@h/x"),
    ("from 'x://a:b@c' to 'x://d:e@f'", "from 'x://a:***@c' to 'x://d:***@f'"),
    ("etcd://u:my pass@h now", "etcd://u:***@h now"),
    ("etcd://h:2379, ask ann@x.org", "etcd://h:2379, ask ann@x.org"),
    ("http://h:80/a b@c", "http://h:80/a b@c"),
    ("x://h?token=ab&cd&e=f", "x://h?token=***&e=f"),
    ("x://h?tok%65n=ab", "x://h?tok%65n=***"),
    ("x://h?e=http%3A%2F%2Fu%3Ap%40h&x=1", "x://h?e=http://u:***%40h&x=1"),
    ("x://h?key=/a/k.pem&cert=/a/c.pem", "x://h?key=/a/k.pem&cert=/a/c.pem"),
    ("AWS_SECRET_ACCESS_KEY=abc is set", "AWS_SECRET_ACCESS_KEY=*** is set"),
    ("password=hunter2 in no URL", "password=*** in no URL"),
    ("no secret in here: a=b, c://d", "no secret in here: a=b, c://d"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "shown"), SENTENCES)
def test_redacting_a_sentence(text: str, shown: str) -> None:
    assert redact(text) == shown


SECRET_NAMES = [
    "password", "passwd", "passphrase", "pwd", "pass", "secret", "secretkey", "secret_key",
    "secretKey", "SECRET_KEY", "token", "session_token", "accesskey", "access_key", "accessKeyId",
    "keyid", "keyId", "key_id", "credentials", "api-key", "auth_key", "private_key",
    "x-amz-signature",
]  # fmt: skip
OPEN_NAMES = ["key", "cert", "ca", "region", "endpoint", "prefix", "credProfile", "timeout", "path"]


@pytest.mark.parametrize("name", SECRET_NAMES + OPEN_NAMES)
def test_which_options_are_secrets(name: str) -> None:
    url = parse(f"x://h?{name}=shown")
    assert ("shown" in str(url)) is (name in OPEN_NAMES)
    assert ("shown" in repr(url)) is (name in OPEN_NAMES)


def test_no_way_to_print_a_url_shows_a_secret() -> None:
    url = parse("x://u:hunter2@h?token=hunter3&endpoint=http://v:hunter4%40k")
    console = Console(file=io.StringIO(), width=200)
    console.print(url)
    assert isinstance(console.file, io.StringIO)
    printed = [str(url), repr(url), f"{url}", f"{url!r}", pretty_repr(url), console.file.getvalue()]
    assert all("hunter" not in text and "***" in text for text in printed)


def test_scrubbing_what_a_client_library_says() -> None:
    url = parse("x://u:hunter%2F2@h?token=t0ken/x")
    said = "denied: hunter/2 (hunter%2F2) with t0ken/x at y://a:b@c"
    assert url.scrub(said) == "denied: *** (***) with *** at y://a:***@c"
    assert parse("x://u:@h").scrub("nothing to hide") == "nothing to hide"


# --- options --------------------------------------------------------------------------


class Mode(StrEnum):
    WAL = "wal"
    DELETE = "delete"


class Options(msgspec.Struct, frozen=True, rename="camel"):
    name: str = "n"
    busy_timeout: float = 5.0
    pages: Annotated[int, msgspec.Meta(ge=1, le=9)] = 2
    read_only: bool = False
    mode: Mode = Mode.WAL
    level: Literal["full", "off"] | None = None
    token: Literal["a"] = "a"


def options(query: str) -> Options:
    return parse(f"x://h{'?' if query else ''}{query}").options_as(Options)


def test_options_are_converted() -> None:
    assert options("") == Options()
    assert options("name=5&busyTimeout=0.5&pages=9&readOnly=TRUE&mode=delete&level=off") == Options(
        "5", 0.5, 9, True, Mode.DELETE, "off"
    )


BAD_OPTIONS = [
    ("colour=1", "no option 'colour'", "busyTimeout, level, mode, name, pages, readOnly, token"),
    ("busy_timeout=1", "no option 'busy_timeout'", "busyTimeout"),
    ("busyTimeout=soon", "'busyTimeout'", "`float`"),
    ("busyTimeout=nan", "'busyTimeout'", "finite"),
    ("busyTimeout=inf", "'busyTimeout'", "finite"),
    ("busyTimeout=1e999", "'busyTimeout'", "out of range"),
    ("pages=", "'pages'", "`int`"),
    ("pages=1.5", "'pages'", "`int`"),
    ("pages=0", "'pages'", ">= 1"),
    ("pages=10", "'pages'", "<= 9"),
    ("readOnly=yes", "'readOnly'", "true, false"),
    ("mode=WAL", "'mode'", "one of wal, delete"),
    ("level=half", "'level'", "one of full, off"),
]


@pytest.mark.parametrize(("query", "message", "hint"), BAD_OPTIONS)
def test_bad_options_are_named_with_what_is_expected(query: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        options(query)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert caught.value.engine == "x"


def test_a_bad_secret_option_is_not_quoted() -> None:
    secret = "hunter" + "2"
    with pytest.raises(InvalidOption) as caught:
        options(f"token={secret}")
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_missing_option_is_named() -> None:
    class Needed(msgspec.Struct, frozen=True):
        region: str

    with pytest.raises(InvalidOption, match="region"):
        parse("x://h").options_as(Needed)
    assert parse("x://h?region=r").options_as(Needed) == Needed("r")


def test_an_engine_without_options_says_so() -> None:
    class Nothing(msgspec.Struct, frozen=True):
        pass

    with pytest.raises(InvalidOption, match="knows: none"):
        parse("x://h?a=1").options_as(Nothing)
