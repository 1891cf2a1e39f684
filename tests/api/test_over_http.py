"""The web process as it is run: gunicorn, all parts, real sockets."""

from __future__ import annotations

import json
import os
import urllib.request
import zipfile
from pathlib import Path

from tests.api.web import Web, chunks
from tests.uploads.archives import PAGE, zip_of

UPLOAD_SIZE = 200 << 20


def test_an_uploaded_site_is_served_when_the_upload_is_answered(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    answer = web.upload(tmp_path / "site.zip")
    assert web.get(answer["url"]) == PAGE
    assert b"Live at" in web.get(answer["log_url"])
    assert json.loads(web.get(answer["status_url"]))["data"]["status"] == "ready"


def test_an_upload_without_a_length_is_taken(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    headers = {"Content-Type": "application/zip"}
    answer = web.post("/deploy?project=chunked", chunks(tmp_path / "site.zip"), headers)
    assert answer["project"] == "chunked"
    assert web.get(answer["url"]) == PAGE


def test_a_log_can_be_followed(web: Web, tmp_path: Path) -> None:
    (tmp_path / "site.zip").write_bytes(zip_of({"index.html": PAGE}))
    answer = web.upload(tmp_path / "site.zip")
    request = urllib.request.Request(
        f"{web.url}/api/v1/builds/{answer['build_id']}/log",
        headers={"Accept": "text/event-stream"},
    )
    with urllib.request.urlopen(request, timeout=10) as stream:
        assert stream.read().endswith(b"event: end\ndata: ready\n\n")


def test_a_large_upload_takes_little_memory_from_end_to_end(web: Web, tmp_path: Path) -> None:
    content = os.urandom(20 << 20)
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        archive.writestr("index.html", PAGE)
        for number in range(UPLOAD_SIZE // len(content)):
            archive.writestr(f"{number}.bin", content)
    del content
    before = web.largest_memory()
    answer = web.upload(tmp_path / "big.zip")
    assert answer["status"] == "ready"
    assert web.largest_memory() - before < 40 << 20
