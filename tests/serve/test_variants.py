"""Compressed variants: made once, and given to those who want them."""

from __future__ import annotations

import gzip
from pathlib import Path

import brotli
import pytest
import zstandard

from bot.serve import resolve
from bot.serve.answers import choose
from bot.serve.site import Representation, ServedFile
from bot.storage.disk import DiskStore
from bot.storage.variants import add_variants
from tests.serve.conftest import SHA, Deployer, Host, wait_until

SCRIPT = "function hello(name) { return 'hello ' + name }\n" * 200
FILES = {"index.html": "<p>tiny</p>", "app.js": SCRIPT, "photo.jpg": SCRIPT, "noise.txt": ""}


def _representation(encoding: str) -> Representation:
    return Representation("", 1, encoding, "", [], [], [])


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", ""),
        ("identity;q=0.5, gzip", "gzip"),
        ("br;q=0", ""),
        ("*", "br"),
        ("*;q=0", ""),
        ("deflate", ""),
        ("", ""),
    ],
)
def test_the_client_gets_what_it_weighs_most_and_then_the_smallest(
    accept_encoding: str, expected: str
) -> None:
    variants = tuple(_representation(name) for name in ("br", "zstd", "gzip"))
    file = ServedFile("", _representation(""), variants)
    assert choose(file, accept_encoding).encoding == expected


def test_variants_are_negotiated_and_decode_to_the_file(deployer: Deployer, host: Host) -> None:
    deployment_id = deployer.deploy(FILES)
    add_variants(deployer.store, deployment_id)
    path = f"/{SHA}/app.js"
    decoders = {
        "br": brotli.decompress,
        "gzip": gzip.decompress,
        "zstd": zstandard.ZstdDecompressor().decompress,
    }
    tags = {host.get(path).headers["ETag"]}
    for encoding, decode in decoders.items():
        answer = host.get(path, Accept_Encoding=encoding)
        assert answer.headers["Content-Encoding"] == encoding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert decode(answer.body).decode() == SCRIPT
        tags.add(answer.headers["ETag"])
        again = host.get(path, Accept_Encoding=encoding, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.headers["Vary"]) == (304, "Accept-Encoding")
    assert len(tags) == 4
    plain = host.get(path)
    assert (plain.headers["Content-Encoding"], plain.text) == (None, SCRIPT)
    assert plain.headers["Vary"] == "Accept-Encoding"


def test_what_is_small_or_compressed_already_is_left_alone(deployer: Deployer, host: Host) -> None:
    add_variants(deployer.store, deployer.deploy(FILES))
    for name in ("", "photo.jpg", "noise.txt"):
        answer = host.get(f"/{SHA}/{name}", Accept_Encoding="br, gzip")
        assert answer.headers["Content-Encoding"] is None
        assert answer.headers["Vary"] is None


def test_a_range_is_of_the_representation_that_is_sent(deployer: Deployer, host: Host) -> None:
    add_variants(deployer.store, deployer.deploy(FILES))
    whole = host.get(f"/{SHA}/app.js", Accept_Encoding="gzip").body
    part = host.get(f"/{SHA}/app.js", Accept_Encoding="gzip", Range="bytes=5-19")
    assert (part.status, part.body) == (206, whole[5:20])
    assert part.headers["Content-Range"] == f"bytes 5-19/{len(whole)}"


def test_a_host_that_serves_a_site_already_takes_its_variants_up(
    deployer: Deployer, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_FIRST_LOOK", 0.01)
    monkeypatch.setattr(resolve, "_RECHECK", 0.01)
    deployment_id = deployer.deploy(FILES)
    path = f"/{SHA}/app.js"
    assert host.get(path, Accept_Encoding="br").headers["Content-Encoding"] is None
    add_variants(deployer.store, deployment_id)

    def encoded() -> bool:
        return host.get(path, Accept_Encoding="br").headers["Content-Encoding"] == "br"

    wait_until(encoded)


def test_a_content_is_compressed_once(
    deployer: Deployer, store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployer.deploy(FILES)
    made = add_variants(store, first)
    assert made is not None
    assert add_variants(store, first) is None
    second = deployer.deploy(FILES | {"new.js": SCRIPT + "//"}, sha="f" * 40)
    put: list[int] = []
    real = store.put_bytes
    monkeypatch.setattr(store, "put_bytes", lambda chunks: put.append(1) or real(chunks))
    again = add_variants(store, second, previous_id=first)
    assert again is not None
    assert again.files["app.js"].variants == made.files["app.js"].variants
    assert len(put) == 3  # new.js alone, in three codings


def test_a_deployment_that_was_deleted_meanwhile_stays_deleted(
    deployer: Deployer, store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment_id = deployer.deploy(FILES)
    real = store.put_bytes

    def put(chunks: object) -> tuple[str, int]:
        store.delete(deployment_id)
        return real(chunks)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put_bytes", put)
    assert add_variants(store, deployment_id) is None
    assert not (store._root / "manifests" / f"{deployment_id}.json").exists()


def test_front_servers_find_variants_beside_their_files(
    deployer: Deployer, store: DiskStore, tmp_path: Path
) -> None:
    deployment_id = deployer.deploy({**FILES, "app.js.gz": "the user's own"})
    made = add_variants(store, deployment_id)
    assert made is not None
    store.lay_out(made)
    site = tmp_path / "artifacts" / "sites" / deployment_id
    assert brotli.decompress((site / "app.js.br").read_bytes()).decode() == SCRIPT
    assert (site / "app.js.gz").read_text() == "the user's own"
