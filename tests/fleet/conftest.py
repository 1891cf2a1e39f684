"""What the machines of a fleet share, in the test's own process and below it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fleet.github import SECRET, GitHub
from tests.fleet.machines import Fleet, Network, private_network
from tests.fleet.remains import adopting_orphans
from tests.programs import require_program
from tests.servers import Postgres, Redis, start_postgres, start_redis
from tests.storage.s3_server import FaultyProxy, S3Server


@dataclass
class Services:
    """PostgreSQL, Redis, an S3 server behind a proxy that fails, and GitHub."""

    network: Network
    folder: Path
    postgres: Postgres
    redis: Redis
    s3: S3Server
    proxy: FaultyProxy
    github: GitHub
    database_url: str
    shared: dict[str, str]

    def fleet(self, webs: int, workers: int, **settings: str) -> Fleet:
        """So many machines, at work. Whoever asks for them closes them."""
        made = Fleet(self.folder, self.network, self.shared | settings)
        for _ in range(webs):
            made.add("web", WEB_WORKERS="1")
        for _ in range(workers):
            made.add("worker")
        try:
            made.ready()
        except BaseException:
            made.close()
            raise
        self.github.hooks = [machine.url for machine in made.webs]
        return made

    def manifests(self) -> list[str]:
        """Ids of the deployments that are in the bucket, by the server's own word."""
        client = boto3.client(
            "s3",
            endpoint_url=self.s3.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.folder.name, Prefix="kept/manifests/"
        )
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        client.close()
        return [key.rpartition("/")[2].removesuffix(".json") for key in keys]


@pytest.fixture(scope="session")
def app_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@contextmanager
def running_services(app_key: str) -> Iterator[Services]:
    require_program("git")
    # Where a build's own account may reach it, which pytest's folders forbid.
    folder = Path(tempfile.mkdtemp(prefix="deploystack-fleet-"))
    folder.chmod(0o755)
    with private_network() as network, adopting_orphans():
        postgres, redis = start_postgres(network.host), start_redis(network.host)
        s3 = S3Server()
        proxy = FaultyProxy(s3.port, 0.0, network.host)
        github = GitHub(folder / "github", network.host)
        database_url = postgres.fresh_database()
        shared = {
            **s3.environ(folder.name),
            "STORAGE_URL": f"s3://{folder.name}/kept?endpoint={proxy.url}&region=us-east-1",
            "DATABASE_URL": database_url,
            "QUEUE_URL": redis.url(0),
            "CACHE_URL": redis.url(1),
            "SECRETS_KEY": "the fleet's own",
            "GITHUB_WEBHOOK_SECRET": SECRET,
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY": app_key,
            "GITHUB_API_URL": github.url,
            "GITHUB_SERVER_URL": github.url,
            "RECONCILE_EVERY": "15",
        }
        yield Services(network, folder, postgres, redis, s3, proxy, github, database_url, shared)
        github.stop()
        proxy.stop()
        s3.stop()
        redis.stop(signal.SIGKILL)
        shutil.rmtree(redis.folder, ignore_errors=True)
        postgres.close()
    if not os.environ.get("KEEP_FLEET"):  # to read its logs
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def services(app_key: str) -> Iterator[Services]:
    with running_services(app_key) as running:
        yield running


@pytest.fixture
def fleet(services: Services) -> Iterator[Fleet]:
    """Two web machines and three workers."""
    made = services.fleet(webs=2, workers=3)
    yield made
    made.close()


@pytest.fixture
def dice() -> random.Random:
    return random.Random(int(os.environ.get("FLEET_SEED", "6")))
