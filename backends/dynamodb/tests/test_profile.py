"""What a URL may be, and what the engine says of itself without a store."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from discfg_dynamodb import open_engine
from discfg_dynamodb.profile import PROFILE, Options

from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import Closed, DiscfgError, InvalidOption, InvalidURL
from discfg_core.urls import parse


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("dynamodb://us-east-1", Options()),
        ("dynamodb://KEY:SECRET@eu-west-1", Options()),
        (
            "dynamodb://us-east-1?endpoint_url=http://127.0.0.1:8000",
            Options(endpoint_url="http://127.0.0.1:8000"),
        ),
        (
            "dynamodb://us-east-1?endpoint_url=https://[::1]:8000/&profile=ops&prefix=prod_",
            Options("https://[::1]:8000/", "ops", "prod_"),
        ),
        ("dynamodb://us-east-1?prefix=" + "p" * 64, Options(prefix="p" * 64)),
    ],
)
def test_url_that_is_one(url: str, options: Options) -> None:
    assert parse(url).options_as(Options) == options
    engine = open_engine(parse(url))
    assert (engine.scheme, engine.guarantees) == ("dynamodb", PROFILE.guarantees)
    engine.close()
    with pytest.raises(Closed):
        engine.list_configs(deadline=Deadline.after(10))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("dynamodb://", InvalidURL),
        ("dynamodb:///discfg", InvalidURL),
        ("dynamodb://us-east-1,us-east-2", InvalidURL),
        ("dynamodb://us-east-1:443", InvalidURL),
        ("dynamodb://[::1]", InvalidURL),
        ("dynamodb://us-east-1/discfg", InvalidURL),
        ("dynamodb://KEY@us-east-1", InvalidURL),
        ("dynamodb://us-east-1?prefix=x", InvalidOption),
        ("dynamodb://us-east-1?prefix=" + "p" * 65, InvalidOption),
        ("dynamodb://us-east-1?prefix=a/b", InvalidOption),
        ("dynamodb://us-east-1?prefix=", InvalidOption),
        ("dynamodb://us-east-1?endpoint_url=localhost:8000", InvalidOption),
        ("dynamodb://us-east-1?endpoint_url=http://u:pw@localhost", InvalidOption),
        ("dynamodb://us-east-1?profile=", InvalidOption),
        ("dynamodb://us-east-1?region=us-east-2", InvalidOption),
    ],
)
def test_url_that_is_none(url: str, error: type[DiscfgError]) -> None:
    with pytest.raises(error) as caught:
        open_engine(parse(url))
    assert caught.value.hint
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["dynamodb://-bad-", "dynamodb://us_east_1", "dynamodb://us-east-1?profile=nobodys"]
)
def test_url_that_boto3_refuses(url: str) -> None:
    engine = open_engine(parse(url))
    with pytest.raises(InvalidOption) as caught:
        engine.list_configs(deadline=Deadline.after(10))
    assert (caught.value.engine, bool(caught.value.hint)) == ("dynamodb", True)
    engine.close()


def test_profile_is_what_the_entry_point_gives() -> None:
    (point,) = entry_points(group="discfg.engines", name="dynamodb")
    assert point.load() is open_engine
    assert open_engine.profile is PROFILE
    assert Guarantee.UNDROP not in PROFILE.guarantees
    assert Guarantee.PUSH_WATCH not in PROFILE.guarantees
    assert set(PROFILE.limits.why) == {"register_budget", "register_max"}


def test_import_is_cheap() -> None:
    code = "import sys, discfg_dynamodb; print(sorted({'boto3', 'botocore'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
