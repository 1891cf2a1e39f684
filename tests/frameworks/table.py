"""The table of docs/frameworks.md, of what one run has recorded.

    FRAMEWORK_RESULTS=results.jsonl make test-frameworks
    python -m tests.frameworks.table results.jsonl

A case that the run has not recorded, since it failed, is a row that says so.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.frameworks.cases import CASES, Case

_HEAD = ("Framework", "Fixture", "Version", "Cold s", "Warm s", "Base path by", "Seen in Chromium")


def _row(case: Case, facts: Mapping[str, Any] | None) -> tuple[str, ...]:
    start = (case.framework, f"`{case.name}`")
    if facts is None:
        return (*start, "", "", "", "", "**not shown to work** in this run")
    if program := facts.get("missing"):
        seen = f"`{program}` was not on the machine: recognised, and the failure says so"
        return (*start, "", "", "", "", seen)
    if host := facts.get("unreachable"):
        seen = f"**not shown to work**: it asks {host}, out of reach there; the failure says so"
        return (*start, "", "", "", "", seen)
    seconds = (str(facts["cold"]), str(facts["warm"]))
    return (*start, facts["version"], *seconds, _base_path(facts["log"]), _seen(case))


def _base_path(log: list[str]) -> str:
    line = next(line for line in log if "Base path" in line)
    way = re.sub(r"^.*?Base path \S+: ", "", line)
    return re.sub(r"/[0-9a-f]{40}", "/<sha>", way).replace("|", r"\|")


def _seen(case: Case) -> str:
    looked_at = ["font", "CSS image"]
    looked_at += ["lazy chunk"] if case.lazy else []
    looked_at += ["second page", "reload"] if case.deep else []
    return f"no failed request, no console error: {', '.join(looked_at)}"


def main() -> None:
    lines = Path(sys.argv[1]).read_text().splitlines()
    found = {facts["name"]: facts for facts in map(json.loads, lines)}
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(case, found.get(case.name)) for case in CASES)]
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))


if __name__ == "__main__":
    main()
