"""Code as applications write it has the types they expect, by a strict type checker."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

import discfg_core

HERE = Path(__file__).parent
ROOT = Path(discfg_core.__file__).parents[1]


@pytest.mark.parametrize("page", ["usage.py", "aio_usage.py"])
def test_what_applications_write_checks(tmp_path: Path, page: str) -> None:
    (tmp_path / "mypy.ini").write_text(
        # What the package itself says of its types is taken from `py.typed`, as users do.
        f"[mypy]\nstrict = True\nmypy_path = {ROOT}\nfollow_imports = silent\n"
        "enable_error_code = unused-awaitable\n",
        encoding="utf-8",
    )
    output, complaints, status = api.run(
        [
            "--config-file",
            str(tmp_path / "mypy.ini"),
            f"--cache-dir={tmp_path}",
            str(HERE / page),
        ]
    )
    assert (output, complaints, status) == (
        "Success: no issues found in 1 source file\n",
        "",
        0,
    )


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(discfg_core.__file__).parent / "py.typed").is_file()
