"""Who owns a custom domain, by what its name servers say.

A project proves a domain by a TXT record with a value of its own, or by a CNAME to its
own address under the preview domain. A CNAME to the preview domain itself would prove
nothing: it does not say which project is meant.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

import dns.exception
import dns.resolver

from bot.errors import UserError
from bot.models import domains
from bot.models.addresses import address
from bot.models.database import Database
from bot.models.ids import now
from bot.models.status import AliasKind
from bot.models.tables import Domain, Project
from bot.settings import Settings

logger = logging.getLogger(__name__)
_SECONDS = 4.0  # that one look may take
_AT_A_TIME = 20
# What a name server that does not answer is, against one that says no.
_UNANSWERED = (dns.resolver.NoNameservers, dns.exception.Timeout)


@dataclass(frozen=True, slots=True)
class Record:
    """A record that proves a domain; either kind does."""

    type: str
    name: str
    value: str


def check_name(name: str, settings: Settings) -> None:
    """Refuse names that are the bot's own. Raises `UserError`: `invalid-domain`."""
    clean = name.strip().lower().rstrip(".")
    urls = (settings.PUBLIC_URL, settings.DASHBOARD_URL)
    own = {urlsplit(url).hostname or "" for url in urls} | {settings.PREVIEW_DOMAIN.lower()}
    below = settings.PREVIEW_DOMAIN and clean.endswith(f".{settings.PREVIEW_DOMAIN.lower()}")
    if clean in own or below:
        raise UserError("invalid-domain", f"{clean} is the bot's own.", "Use one of yours.")


def records(domain: Domain, project: str, settings: Settings) -> list[Record]:
    """What to enter at the domain's DNS: one of these is enough to prove it."""
    found = [Record("TXT", f"_deploystack.{domain.name}", domain.proof)]
    if settings.PREVIEW_DOMAIN:
        target = f"{address(AliasKind.PRODUCTION, 'production', project)}.{settings.PREVIEW_DOMAIN}"
        found.append(Record("CNAME", domain.name, target.lower()))
    return found


class DomainChecker:
    """Looks for proofs. Safe for many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def check(self, domain: Domain) -> Domain:
        """Look for a domain's proof now, and record what is found."""
        project: Project = Project.get_by_id(domain.project_id)
        problem = self.problem(domain, project.name)
        with self._database.write():
            noted = domains.note_proof(domain, problem)
        if noted.state != domain.state:
            logger.info("domain %s of %s is %s now", domain.name, project.name, noted.state)
        return noted

    def check_due(self) -> None:
        """Look at those whose time it is. Called every minute or so."""
        for domain in domains.due(now(), _AT_A_TIME):
            self.check(domain)

    def problem(self, domain: Domain, project: str) -> str:
        """What is missing of a domain's proof; empty: it is proven."""
        said = []
        for record in records(domain, project, self._settings):
            try:
                values = self._look_up(record)
            except _UNANSWERED:
                said.append(f"The name servers of {record.name} do not answer.")
                continue
            except dns.exception.DNSException as error:
                said.append(f"{record.name}: {error}")
                continue
            if record.value in values:
                return ""
            shown = ", ".join(values[:3]) or "nothing"
            said.append(f"The {record.type} record of {record.name} says {shown[:200]}.")
        return " ".join(said)

    def _look_up(self, record: Record) -> list[str]:
        """The values of a record as text; none where there is no such name or record."""
        try:
            answer = self._resolver().resolve(
                record.name, record.type, lifetime=_SECONDS, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        if record.type == "TXT":
            return [b"".join(row.strings).decode("utf-8", "replace") for row in answer]
        return [str(row.target).lower().rstrip(".") for row in answer]

    def _resolver(self) -> dns.resolver.Resolver:
        servers = self._settings.DNS_SERVERS
        if not servers:
            return dns.resolver.Resolver()
        resolver = dns.resolver.Resolver(configure=False)
        addresses = [server.partition(":") for server in servers]
        resolver.nameservers = [host for host, _, _ in addresses]
        resolver.nameserver_ports = {host: int(port) for host, _, port in addresses if port}
        return resolver
