"""The URL and its options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from discfg_s3 import open_engine
from discfg_s3.place import understand
from discfg_s3.profile import LIMITS, PROFILE
from discfg_s3.substrate import S3Substrate

from discfg_core.errors import DiscfgError, FileUnreadable, InvalidOption, InvalidURL
from discfg_core.urls import parse


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/team/app", "my.bucket-1", "team/app/"),
        ("s3://bucket/team/app/", "bucket", "team/app/"),
        ("s3://bucket/über%20all", "bucket", "über all/"),
    ],
)
def test_url_names_a_bucket_and_a_prefix(url: str, bucket: str, prefix: str) -> None:
    place = understand(parse(url)).place
    assert (place.bucket, place.prefix) == (bucket, prefix)


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("s3:///prefix", InvalidURL, "s3://bucket/prefix"),
        ("s3://one,two/prefix", InvalidURL, "s3://bucket/prefix"),
        ("s3://bucket:9000/prefix", InvalidURL, "endpoint_url"),
        ("s3://my_bucket", InvalidURL, "3 to 63"),
        ("s3://ab", InvalidURL, "3 to 63"),
        ("s3://bucket//prefix", InvalidURL, "empty part"),
        ("s3://bucket/a/../b", InvalidURL, "of dots"),
        ("s3://bucket/" + "x" * 513, InvalidURL, "512 bytes"),
        ("s3://KEY@bucket", InvalidURL, "half of a pair"),
        ("s3://bucket?nonsense=1", InvalidOption, "nonsense"),
        ("s3://bucket?region=", InvalidOption, "region is empty"),
        ("s3://bucket?addressing=host", InvalidOption, "addressing"),
        ("s3://bucket?min_swap_interval=-1", InvalidOption, "min_swap_interval"),
        ("s3://bucket?endpoint_url=example.com", InvalidOption, "https://"),
        ("s3://bucket?endpoint_url=https://u:hidden@example.com", InvalidOption, "without user"),
        ("s3://bucket?ca=/nowhere/ca.pem", FileUnreadable, "/nowhere/ca.pem"),
    ],
)
def test_url_that_cannot_be_is_refused_before_anything_is_sent(
    url: str, error: type[DiscfgError], said: str
) -> None:
    with pytest.raises(error) as caught:
        open_engine(parse(url))
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_options_and_figures_are_all_explained() -> None:
    fields = PROFILE.options.__annotations__
    assert set(fields) == {
        "region",
        "endpoint_url",
        "profile",
        "addressing",
        "ca",
        "min_swap_interval",
    }
    assert set(LIMITS.why) == set(LIMITS.__struct_fields__) - {"why"}


def test_min_swap_interval_is_the_option() -> None:
    client = S3Substrate(parse("s3://bucket?min_swap_interval=1"))
    assert client.limits("any").min_swap_interval == 1.0
    client.close()


def test_importing_the_package_and_opening_a_store_load_no_client() -> None:
    code = (
        "import sys, discfg_s3; from discfg_core.urls import parse\n"
        "assert not any(name.startswith('botocore') for name in sys.modules)\n"
        "discfg_s3.open_engine(parse('s3://bucket')).close()\n"
        "assert not {'boto3', 'botocore.session', 'botocore.client'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path("/"))
