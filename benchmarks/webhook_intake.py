"""Signed pushes a second, against adnanh/webhook running /bin/true for each.

    python -m benchmarks.webhook_intake [--rounds 3] [--seconds 4] [--config FILE]

Ours verifies, parses, records the delivery (SQLite, synchronous=FULL), moves the
branch, queues the build and writes what GitHub is to be told before it answers; the
peer verifies and starts a process. Both get the same requests over 32 connections,
in turn. Each request has a GUID, commit and signature of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.programs import Load, free_port, median, need, running, table, wrk

SECRET = "benchmark"
CONNECTIONS = 32
THREADS = 2  # of wrk
REPOSITORIES = 20
# Of each repository. No worker runs, so a branch's second push supersedes its first.
BRANCHES = 500
# More a second than any server here answers, so that no request is sent twice.
FASTEST = {8: 6_000, 200: 2_000}

# A request's body is one long beginning, shared by a repository's pushes, and a short
# end of its own: a gigabyte of bodies would not fit into wrk's memory.
LUA = """
local beginnings, ends, at = {}, {}, 0
local threads = 0
function setup(thread) thread:set("thread_id", threads); threads = threads + 1 end
function init(args)
  local file = io.open("@FOLDER@/beginnings", "rb")
  for line in file:lines() do beginnings[#beginnings + 1] = line end
  file:close()
  file = io.open(string.format("@FOLDER@/ends.%d", thread_id), "rb")
  for line in file:lines() do ends[#ends + 1] = line end
  file:close()
end
local headers = { ["Content-Type"] = "application/json", ["X-GitHub-Event"] = "push",
                  ["User-Agent"] = "GitHub-Hookshot/benchmark" }
function request()
  at = at + 1
  local guid, signature, nth, rest = ends[at]:match("(%S+) (%S+) (%d+) (.*)")
  headers["X-GitHub-Delivery"] = guid
  headers["X-Hub-Signature-256"] = signature
  return wrk.format("POST", "@PATH@", headers, beginnings[tonumber(nth)] .. rest)
end
"""


# What a repository's description has an address for.
KINDS = """forks keys collaborators teams hooks issue_events events assignees branches tags
    blobs git_tags git_refs trees statuses languages stargazers contributors subscribers
    subscription commits git_commits comments issue_comment contents compare merges archive
    downloads issues pulls milestones notifications labels releases deployments"""


def repository(name: str) -> dict[str, Any]:
    """A repository as GitHub describes it, addresses and all.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
    """
    owner = name.partition("/")[0]
    return {
        "id": 186853002,
        "name": name.partition("/")[2],
        "full_name": name,
        "private": False,
        "owner": {"name": owner, "login": owner, "id": 21031067, "type": "Organization"},
        **{f"{kind}_url": f"https://api.github.com/repos/{name}/{kind}" for kind in KINDS.split()},
        "created_at": 1557933565,
        "default_branch": "main",
        "topics": ["website", "documentation"],
    }


def commit(name: str, sha: str) -> dict[str, Any]:
    person = {"name": "Mona Lisa", "email": "mona@example.com", "username": "mona"}
    return {
        "id": sha,
        "tree_id": sha,
        "distinct": True,
        "message": "Say more about caching\n\nThe page left open who clears it.",
        "timestamp": "2026-01-01T10:00:00+01:00",
        "url": f"https://github.com/{name}/commit/{sha}",
        "author": person,
        "committer": person,
        "added": [],
        "removed": ["docs/cache.md"],
        "modified": ["src/components/Header.tsx", "README.md"],
    }


def beginning(name: str, size: int) -> bytes:
    """What the pushes of a repository share: sender, and commits to fill the size."""
    sender = {"login": "mona", "id": 1, "type": "User", "site_admin": False}
    shared = {"pusher": {"name": "mona"}, "sender": sender, "compare": f"https://{name}"}
    missing = size - 4_500  # the rest's size, about
    each = len(json.dumps(commit(name, "0" * 40))) + 2
    chance = random.Random(name)
    shas = (f"{chance.getrandbits(160):040x}" for _ in range(max(0, missing // each)))
    return json.dumps(shared | {"commits": [commit(name, sha) for sha in shas]})[:-1].encode()


def prepare(folder: Path, kilobytes: int, count: int) -> int:
    """Write signed requests for wrk's threads into `folder`; answers a body's size."""
    names = [f"octo/site-{n}" for n in range(REPOSITORIES)]
    beginnings = [beginning(name, kilobytes * 1024) for name in names]
    (folder / "beginnings").write_bytes(b"\n".join(beginnings) + b"\n")
    # The beginning is hashed once: a copy goes on from there.
    signers = [hmac.new(SECRET.encode(), text, hashlib.sha256) for text in beginnings]
    described = [repository(name) for name in names]
    heads: dict[tuple[int, int], str] = {}
    chance = random.Random(kilobytes)
    files = [(folder / f"ends.{thread}").open("wb") for thread in range(THREADS)]
    for number in range(count):
        nth, branch = number % REPOSITORIES, number // REPOSITORIES % BRANCHES
        sha = f"{chance.getrandbits(160):040x}"
        rest = {
            "ref": f"refs/heads/topic-{branch}",
            "before": heads.get((nth, branch), "0" * 40),
            "after": sha,
            "created": (nth, branch) not in heads,
            "deleted": False,
            "forced": False,
            "head_commit": commit(names[nth], sha),
            "repository": described[nth] | {"pushed_at": 1_700_000_000 + number},
        }
        heads[nth, branch] = sha
        end = b", " + json.dumps(rest)[1:].encode()
        signer = signers[nth].copy()
        signer.update(end)
        guid = f"{chance.getrandbits(128):032x}"
        head = f"{guid} sha256={signer.hexdigest()} {nth + 1} "
        files[number % THREADS].write(head.encode() + end + b"\n")
    for file in files:
        file.close()
    return len(beginnings[0]) + len(end)


def script(requests: Path, path: str) -> Path:
    lua = requests / f"{path.replace('/', '-')}.lua"
    lua.write_text(LUA.replace("@FOLDER@", str(requests)).replace("@PATH@", path))
    return lua


@contextmanager
def bot(data: Path, options: argparse.Namespace, **given: str) -> Iterator[str]:
    """The web process as `make start` runs it, with settings `given`; yields its address."""
    port = free_port()
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    environment = {
        "DATA_DIR": str(data),
        "PORT": str(port),
        "WEB_WORKERS": str(options.workers),
        "WEB_THREADS": str(options.threads),
        "GITHUB_WEBHOOK_SECRET": SECRET,
        # With a token, so that what GitHub is to be told is written as in real life.
        "GITHUB_TOKEN": "none",
    }
    command = (gunicorn, "--config", options.config, "bot.wsgi:application")
    with running(command, port, **environment | given):
        yield f"http://127.0.0.1:{port}"


def ours(folder: Path, requests: Path, options: argparse.Namespace) -> Load:
    data = Path(tempfile.mkdtemp(dir=folder))
    with bot(data, options) as url:
        lua = script(requests, "/webhooks/github")
        load = wrk(url, connections=CONNECTIONS, seconds=options.seconds, script=lua)
    check(data / "deploystack.db", load)
    return load


def check(database: Path, load: Load) -> None:
    """Every answered delivery is recorded, and has its queued (or superseded) build."""
    statements = {
        "deliveries": "SELECT COUNT(*) FROM deliveries",
        "accepted": "SELECT COUNT(*) FROM deliveries WHERE outcome = 'accepted'",
        "builds": "SELECT COUNT(*) FROM builds",
        "statuses": "SELECT COUNT(DISTINCT key) FROM outbox WHERE kind = 'status'",
    }
    with sqlite3.connect(database) as connection:
        count = {k: connection.execute(text).fetchone()[0] for k, text in statements.items()}
    # wrk ends without waiting for what is under way.
    most = load.requests + CONNECTIONS
    if load.refused or not load.requests <= count["deliveries"] <= most:
        sys.exit(f"{load.requests} answered, {load.refused} of them refused, but {count}")
    if not count["deliveries"] == count["accepted"] == count["builds"] == count["statuses"]:
        sys.exit(f"a delivery has no build, or a build no status: {count}")


def peer(folder: Path, requests: Path, seconds: int) -> Load:
    hooks = folder / "hooks.json"
    rule = {
        "type": "payload-hmac-sha256",
        "secret": SECRET,
        "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
    }
    hook = {"id": "push", "execute-command": "/bin/true", "trigger-rule": {"match": rule}}
    hooks.write_text(json.dumps([hook]))
    port = free_port()
    command = [need("webhook"), "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    with running(command, port):
        url = f"http://127.0.0.1:{port}"
        lua = script(requests, "/hooks/push")
        return wrk(url, connections=CONNECTIONS, seconds=seconds, script=lua)


def compare(folder: Path, kilobytes: int, options: argparse.Namespace) -> list[tuple[str, ...]]:
    requests = folder / f"{kilobytes}-KB"
    requests.mkdir()
    size = prepare(requests, kilobytes, FASTEST[kilobytes] * options.seconds)
    mine, theirs = [], []
    for _ in range(options.rounds):
        time.sleep(options.rest)
        mine.append(ours(folder, requests, options))
        time.sleep(options.rest)
        theirs.append(peer(folder, requests, options.seconds))
    reference = median(theirs)
    return [
        (
            f"{size / 1024:.1f} KB",
            who,
            f"{load.rate:,.0f}",
            f"{load.p50:.1f}",
            f"{load.p99:.1f}",
            f"{load.rate / reference.rate:.2f}",
            f"{load.p99 / reference.p99:.2f}",
        )
        for who, load in (("DeployStack", median(mine)), ("adnanh/webhook", reference))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rest", type=float, default=1, help="seconds between rounds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--config", default="python:bot.gunicorn_settings", help="of gunicorn")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for kilobytes in FASTEST:
            rows += compare(Path(name), kilobytes, options)
    header = ("push", "server", "requests/s", "p50 ms", "p99 ms", "rate ratio", "p99 ratio")
    table(header, rows)


if __name__ == "__main__":
    main()
