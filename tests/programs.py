"""Programs that some tests need and not every machine has."""

from __future__ import annotations

import os
import shutil

import pytest


def require_program(name: str) -> str:
    """The program's path. Where it is missing the test skips, or fails when CI=true."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed (make test installs it where it can)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found
