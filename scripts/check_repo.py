"""Check the rules of the repository that no off-the-shelf tool checks.

Pins: constraints.txt names each package that is installed here, at the very
version, and nothing but names and versions. Suppressions: each `noqa`,
`type: ignore` and `pragma` says why. Size: no source file outgrows a reader.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

# Files aim at 400 lines. Past this limit they are split, or the limit is argued.
MOST_LINES = 600

# Ours (they are installed from here), and what Python 3.11 itself puts into every
# environment, which nothing uses.
UNPINNED = {
    "discfg",
    *(f"discfg-{path.name}" for path in ROOT.glob("backends/*")),
    "setuptools",
}

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.!+]*)")
_SUPPRESSION = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z0-9, ]+)?|type:\s*ignore\b(?:\[[^]]*\])?|pragma:\s*no\s+(?:cover|branch))"
    r"(?P<rest>[^\n]*)"
)
_REASON = re.compile(r"\s*(?:-|#|:)?\s*\w+(?:\W+\w+)+")


def normal(name: str) -> str:
    """Return a distribution's name in the spelling that compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_pins() -> Iterator[str]:
    """Compare constraints.txt with this environment."""
    pins: dict[str, str] = {}
    for number, line in enumerate((ROOT / "constraints.txt").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        pin = _PIN.fullmatch(line)
        if pin is None:
            yield f"constraints.txt:{number}: not of the form name==version: {line}"
        elif normal(pin["name"]) in pins:
            yield f"constraints.txt:{number}: {pin['name']} a second time"
        else:
            pins[normal(pin["name"])] = pin["version"]

    for distribution in metadata.distributions():
        name, version = normal(distribution.name), distribution.version
        if name in UNPINNED:
            continue
        if name not in pins:
            yield f"constraints.txt: {name} is installed and not pinned (make constraints)"
        elif pins[name] != version:
            yield f"constraints.txt: {name} is pinned at {pins[name]}, installed at {version}"


def sources() -> Iterator[Path]:
    """Yield the Python files of the repository, new ones too, and no ignored one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "*.py"],  # noqa: S607 - the user's own git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    yield from (path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def check_sources() -> Iterator[str]:
    """Look for suppressions without a reason, and for files that grew too long."""
    for path in sources():
        name = path.relative_to(ROOT)
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MOST_LINES:
            yield f"{name}: {len(lines)} lines; split it (at most {MOST_LINES})"
        for number, line in enumerate(lines, 1):
            found = _SUPPRESSION.search(line)
            if found and not _REASON.match(found["rest"]):
                yield f"{name}:{number}: say why: {found[0].strip()}"


def main() -> int:
    """Print each problem; return the exit code."""
    problems = [*check_pins(), *check_sources()]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("Repository rules kept.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
