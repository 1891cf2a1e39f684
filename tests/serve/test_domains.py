"""Custom domains, against name servers of our own on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from bot.domains import DomainChecker, check_name, records
from bot.errors import UserError
from bot.models import domains
from bot.models.database import Database
from bot.models.domains import DomainState
from bot.models.ids import now
from bot.models.projects import point_alias
from bot.models.status import AliasKind
from bot.models.tables import Domain
from bot.settings import Settings
from tests.serve.conftest import SHA, Deployer, Host

DAY = 86_400_000


@dataclass
class Zone:
    """A name server that knows what it is told: (name, type) → values."""

    address: str
    rows: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    asked: list[str] = field(default_factory=list)

    def answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{kind} {name}")
        response.set_rcode(self.rcode)
        if values := self.rows.get((name, kind)):
            texts = [f'"{v}"' if kind == "TXT" else f"{v}." for v in values]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.rows):
            response.set_rcode(self.rcode or dns.rcode.NXDOMAIN)
        return response.to_wire()


@pytest.fixture
def zone() -> Iterator[Zone]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        found = Zone(f"127.0.0.1:{server.getsockname()[1]}")

        def run() -> None:
            while True:
                wire, asker = server.recvfrom(4096)
                if not wire:
                    return
                server.sendto(found.answer(wire), asker)

        thread = threading.Thread(target=run)
        thread.start()
        yield found
        server.sendto(b"", server.getsockname())
        thread.join()


@pytest.fixture
def asked(make_settings: Callable[..., Settings], zone: Zone) -> Settings:
    return make_settings(DNS_SERVERS=zone.address, PREVIEW_DOMAIN="preview.test")


@pytest.fixture
def checker(asked: Settings, database: Database) -> DomainChecker:
    return DomainChecker(asked, database)


@pytest.fixture
def domain(deployer: Deployer) -> Domain:
    """`www.example.org`, claimed for a project that is in production."""
    deployment_id = deployer.deploy({"index.html": "the site"}, environment="production")
    project_id = deployer.project().id
    point_alias(project_id, AliasKind.PRODUCTION, "production", deployment_id)
    return domains.claim(project_id, "WWW.Example.org.")


def serves(host: Host) -> bool:
    known = host.get("/_deploystack/known-host?domain=www.example.org").status == 200
    shown = host.get("/", Host="www.example.org").text == "the site"
    assert known is shown
    return shown


def test_an_unproven_domain_is_neither_served_nor_given_a_certificate(
    domain: Domain, checker: DomainChecker, host: Host, zone: Zone
) -> None:
    assert not serves(host)
    checked = checker.check(domain)
    assert checked.state == DomainState.PENDING
    assert "_deploystack.www.example.org says nothing" in checked.problem
    assert not serves(host)


@pytest.mark.parametrize("number", [0, 1])
def test_either_record_proves_a_domain(
    domain: Domain, checker: DomainChecker, asked: Settings, host: Host, zone: Zone, number: int
) -> None:
    wanted = records(domain, "octo/site", asked)
    assert [(r.type, r.name) for r in wanted] == [
        ("TXT", "_deploystack.www.example.org"), ("CNAME", "www.example.org"),
    ]  # fmt: skip
    assert wanted[1].value == "octo-site.preview.test"
    record = wanted[number]
    zone.rows[record.name, record.type] = (
        ["v=spf1 -all", record.value] if number == 0 else [record.value]
    )
    assert checker.check(domain).state == DomainState.VERIFIED
    assert serves(host)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("TXT", "_deploystack.www.example.org", "deploystack=00"),
        ("TXT", "www.example.org", "{proof}"),
        ("TXT", "_deploystack.www.example.org", "{proof}0"),
        ("CNAME", "www.example.org", "preview.test"),
        ("CNAME", "www.example.org", "other.preview.test"),
        ("CNAME", "www.example.org", "octo-site.preview.test.evil.test"),
    ],
)
def test_another_record_proves_nothing(
    domain: Domain, checker: DomainChecker, zone: Zone, kind: str, name: str, value: str
) -> None:
    zone.rows[name, kind] = [value.format(proof=domain.proof)]
    checked = checker.check(domain)
    assert (checked.state, bool(checked.problem)) == (DomainState.PENDING, True)


def test_one_projects_proof_is_not_anothers(
    domain: Domain, checker: DomainChecker, deployer: Deployer, zone: Zone, host: Host
) -> None:
    rival = domains.claim(deployer.project("evil/site").id, "www.example.org")
    zone.rows["_deploystack.www.example.org", "TXT"] = [domain.proof]
    assert checker.check(rival).state == DomainState.PENDING
    assert checker.check(domain).state == DomainState.VERIFIED
    zone.rows["_deploystack.www.example.org", "TXT"].append(rival.proof)
    late = checker.check(rival)
    assert (late.state, "Another project" in late.problem) == (DomainState.PENDING, True)
    assert serves(host)
    with pytest.raises(UserError) as refused:
        domains.claim(deployer.project("evil/more").id, "www.example.org")
    assert refused.value.code == "conflict"


def test_a_proof_that_is_gone_ends_a_domain_after_days_not_at_once(
    domain: Domain, checker: DomainChecker, zone: Zone, host: Host
) -> None:
    zone.rows["_deploystack.www.example.org", "TXT"] = [domain.proof]
    checker.check(domain)
    zone.rows.clear()
    for rcode in (dns.rcode.SERVFAIL, dns.rcode.NOERROR):
        zone.rcode = rcode
        checked = checker.check(Domain.get())
        assert (checked.state, bool(checked.problem)) == (DomainState.VERIFIED, True)
    assert serves(host)
    Domain.update(verified_at=now() - 4 * DAY).execute()
    assert checker.check(Domain.get()).state == DomainState.PENDING
    assert not serves(host)
    zone.rows["_deploystack.www.example.org", "TXT"] = [domain.proof]
    assert checker.check(Domain.get()).state == DomainState.VERIFIED


def test_name_servers_that_do_not_answer_are_said_so(
    domain: Domain, checker: DomainChecker, zone: Zone
) -> None:
    zone.rcode = dns.rcode.SERVFAIL
    assert "do not answer" in checker.check(domain).problem


def test_domains_are_looked_at_when_it_is_their_time(
    domain: Domain, checker: DomainChecker, zone: Zone
) -> None:
    checker.check_due()
    asked = len(zone.asked)
    assert asked > 0
    checker.check_due()
    assert len(zone.asked) == asked
    Domain.update(due_at=0).execute()
    zone.rows["_deploystack.www.example.org", "TXT"] = [domain.proof]
    checker.check_due()
    assert Domain.get().state == DomainState.VERIFIED


def test_a_domain_that_is_taken_away_is_served_no_more(
    domain: Domain, checker: DomainChecker, zone: Zone, host: Host
) -> None:
    zone.rows["_deploystack.www.example.org", "TXT"] = [domain.proof]
    checker.check(domain)
    assert serves(host)
    assert domains.release(domain.project_id, "www.example.org")
    assert not serves(host)


@pytest.mark.parametrize(
    "name",
    ["localhost", "dashboard.localhost", "preview.test", f"{SHA}.preview.test", "PREVIEW.test."],
)  # fmt: skip
def test_the_bots_own_names_are_nobodys(asked: Settings, name: str) -> None:
    with pytest.raises(UserError, match="own"):
        check_name(name, asked)


@pytest.mark.parametrize(
    "name",
    ["", "a", "a..b", "-a.org", "a b.org", "a.org/x", "127.0.0.1", "ü.org", "x" * 64 + ".org"],
)  # fmt: skip
def test_what_is_no_name_cannot_be_claimed(deployer: Deployer, name: str) -> None:
    with pytest.raises(UserError) as refused:
        domains.claim(deployer.project().id, name)
    assert refused.value.code == "invalid-domain"
