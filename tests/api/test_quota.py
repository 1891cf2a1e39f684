"""The limits of one deployment hold whichever way it comes, and each says which one it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from werkzeug.test import TestResponse

from bot.models.tables import Deployment
from tests.api.conftest import Running
from tests.api.test_deploy import PROJECT, SITE, left_behind, upload
from tests.api.test_direct_upload import deploy
from tests.uploads.archives import gzipped, tar_of_files, zip_of

MANY = SITE | {f"{number}.txt": b"%d" % number for number in range(20)}
LARGE = SITE | {"large.bin": bytes(range(256)) * 20}
HEAVY = SITE | {f"{number}.bin": bytes([number]) * 3000 for number in range(5)}
LIMITS = {"MAX_FILES": "12", "MAX_FILE_SIZE": "4K", "MAX_DEPLOYMENT_SIZE": "12K"}

Way = Callable[[Running, Mapping[str, bytes]], TestResponse]
WAYS: dict[str, Way] = {
    "zip": lambda api, files: upload(api, zip_of(files)),
    "tar": lambda api, files: upload(api, gzipped(tar_of_files(files)), "site.tar.gz"),
    "by digest": lambda api, files: deploy(api, files)[0],
    "by digest, to be built": lambda api, files: deploy(api, PROJECT | dict(files))[0],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("files", "code", "setting"),
    [
        (MANY, "too-many-files", "MAX_FILES"),
        (LARGE, "file-too-large", "MAX_FILE_SIZE"),
        (HEAVY, "deployment-too-large", "MAX_DEPLOYMENT_SIZE"),
    ],
    ids=["files", "file", "bytes"],
)
def test_what_is_over_a_limit_is_refused_and_leaves_nothing(
    start: Callable[..., Running], way: str, files: dict[str, bytes], code: str, setting: str
) -> None:
    api = start(**LIMITS)
    for content in files.values():
        api.store.put_bytes([content])  # it was allowed once, perhaps
    answer = WAYS[way](api, files)
    assert (answer.status_code, answer.json["code"]) == (422, code), answer.text
    assert setting in answer.json.get("hint", "") + answer.json["title"]
    assert Deployment.select().count() == 0
    assert left_behind(api) == []


@pytest.mark.parametrize("way", ["zip", "tar", "by digest"])
def test_what_is_just_within_the_limits_goes_live(start: Callable[..., Running], way: str) -> None:
    files = SITE | {f"{number}.txt": b"%d" % number for number in range(10)}
    answer = WAYS[way](start(**LIMITS), files)
    assert answer.status_code == 201, answer.text


def test_a_few_contents_cannot_make_a_build_of_any_size(start: Callable[..., Running]) -> None:
    """One content under thousands of names costs nothing to send, and a lot to lay out."""
    api = start(MAX_DEPLOYMENT_SIZE="1M", MAX_FILE_SIZE="1M")
    files = PROJECT | {f"{number}.bin": bytes(100_000) for number in range(30)}
    answer, sent = deploy(api, files)
    assert sent == len(PROJECT) + 1
    assert (answer.status_code, answer.json["code"]) == (422, "deployment-too-large")
