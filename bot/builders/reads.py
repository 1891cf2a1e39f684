"""What a build reads of the repository, as digests: for whether an earlier output may serve.

That is the project's folder, the folders of the workspace's packages that it needs, and what
programs look for in the folders above (such as `tsconfig.json`), unless something in there
leads further out: then it is everything. It errs on the side of everything.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import cached_property

from bot.builders.dependency_key import LIFECYCLE
from bot.builders.package_json import read_package
from bot.builders.plan import Plan
from bot.builders.source import Source

# A step upwards in a path, as scripts and configuration write it.
_UP = re.compile(rb"(?<![\w.])\.\.(?![\w.])")
# A whole path that goes upwards: `../../tsconfig.base.json`.
_PATH = re.compile(rb"(?<![\w.*/@$}-])(?:\./)?(?:\.\./)+[\w@.+~-]*(?:/[\w@.+~-]+)*(?![\w*{$])")
# A folder below that a configuration file names: `./packages/config/…`.
_BELOW = re.compile(rb"['\"`]\./((?!node_modules/)[\w@.+-]+(?:/[\w@.+-]+)*)/")
_CODE = tuple(
    f".{kind}{base}{x}" for kind in ("", "c", "m") for base in ("js", "ts") for x in ("", "x")
)
_ALIASES = re.compile(r"[jt]sconfig[\w.-]*\.json")
_HOOKS = re.compile(
    r"(?:is-ci \|\| )?(?:husky|lefthook|simple-git-hooks)(?: install)?(?: \|\| true)?"
)
# Of the folders above a project's own: texts for people, and what the plan has in it.
_UNREAD = (".md", ".txt", "LICENSE", "deploystack.toml")
# What an install reads at a workspace's root besides the files directly in it.
_INSTALLED = (".yarn/", "patches/")
# What says that a package is there for others.
_FOR_OTHERS = ("bin", "browser", "exports", "main", "module", "style", "types", "typings")


def digests(source: Source, plan: Plan) -> tuple[str, ...]:
    """Digests of all that the build of a plan reads of the repository."""
    folders = (plan.root, *plan.needed)
    if "." in folders or _Reach(source, plan, folders).leads_out():
        return (source.tree_id(),)
    above = _above(folders)
    read = {posixpath.join(folder, "package.json") for folder in plan.members}
    prefix = "" if plan.workspace in {"", "."} else f"{plan.workspace}/"
    installed = tuple(f"{prefix}{name}" for name in _INSTALLED) if plan.workspace else ()
    beside = (
        f"{path} {blob.object_id}"
        for path, blob in source.tree.files.items()
        if (posixpath.dirname(path) in above and not path.endswith(_UNREAD))
        or path in read
        or path.startswith(installed)
    )
    return (*source.tree_ids(folders), *sorted(beside))


def _above(folders: tuple[str, ...]) -> frozenset[str]:
    """All folders above some; the repository's top is the empty text."""
    found = {""}
    for start in folders:
        folder = posixpath.dirname(start)
        while folder:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return frozenset(found)


class _Reach:
    """Whether anything in the folders may read what lies elsewhere in the repository."""

    def __init__(self, source: Source, plan: Plan, folders: tuple[str, ...]) -> None:
        self._source = source
        self._plan = plan
        self._folders = folders
        self._inside = tuple(f"{folder}/" for folder in folders)
        self._above = _above(folders)

    def leads_out(self) -> bool:
        tree = self._source.tree
        if tree.submodules or any(link.startswith(self._inside) for link in tree.links):
            return True
        return (
            self._configuration_leads_out()
            or self._install_leads_out()
            or self._sources_lead_out()
            or self._names_others()
        )

    def _configuration_leads_out(self) -> bool:
        """Whether the files directly in the folders above speak of folders that are not read."""
        tree = self._source.tree
        for path in tree.files:
            folder, _, name = path.rpartition("/")
            if folder not in self._above:
                continue
            if _ALIASES.fullmatch(name) and b'"paths"' in tree.read(path):
                return True
            if name.endswith(_CODE):
                found = _BELOW.findall(tree.read(path))
                targets = (posixpath.join(folder, one.decode(errors="replace")) for one in found)
                if not all(f"{target}/".startswith(self._inside) for target in targets):
                    return True
        return False

    def _install_leads_out(self) -> bool:
        """Whether an install at a workspace's root runs scripts of its own, which may read
        whatever they like; what looks after Git's hooks does not matter."""
        if not self._plan.workspace:
            return False
        package = read_package(self._source.tree, self._plan.workspace)
        own = package.scripts if package is not None else {}
        return any(name in own and not _HOOKS.fullmatch(own[name]) for name in LIFECYCLE)

    def _sources_lead_out(self) -> bool:
        for path in self._source.naming(("..",), self._folders):
            inside = max((folder for folder in self._inside if path.startswith(folder)), key=len)
            depth = path.removeprefix(inside).count("/")
            for line in self._source.tree.read(path).splitlines():
                steps = len(_UP.findall(line))
                if steps > depth and not self._stays(line, path, steps):
                    return True
        return False

    def _stays(self, line: bytes, path: str, steps: int) -> bool:
        """Whether every step upwards of a line is part of a path to what is read anyway."""
        written = _PATH.findall(line)
        if sum(len(_UP.findall(one)) for one in written) != steps:
            return False
        here = posixpath.dirname(path)
        return all(
            self._is_read(posixpath.normpath(posixpath.join(here, one.decode(errors="replace"))))
            for one in written
        )

    def _is_read(self, target: str) -> bool:
        if f"{target}/".startswith(self._inside) or "node_modules" in target.split("/"):
            return True  # what is installed depends on the lockfile
        # Directly in a folder above, be it with an ending that goes without saying.
        beside = posixpath.dirname(target) in self._above and not target.startswith("..")
        return beside and target != "." and not self._is_folder(target)

    def _is_folder(self, target: str) -> bool:
        return target in self._folders_of_tree

    @cached_property
    def _folders_of_tree(self) -> frozenset[str]:
        found: set[str] = set()
        for path in self._source.tree.files:
            folder = posixpath.dirname(path)
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    def _names_others(self) -> bool:
        """Whether anything names a package of the workspace that the project says it does not
        need: an install at the root puts all of them in reach."""
        names = tuple(self._unneeded())
        if not names:
            return False
        # `@o/ui` is not named by who names `@o/ui-icons`.
        whole = re.compile(rb"(?<![\w@/-])(?:%s)(?![\w-])" % b"|".join(map(_escaped, names)))
        candidates = self._source.naming(names, self._folders)
        return any(whole.search(self._source.tree.read(path)) for path in candidates)

    def _unneeded(self) -> Iterator[str]:
        for folder in self._plan.members:
            if folder in self._folders:
                continue
            package = read_package(self._source.tree, folder)
            content = package.content if package is not None else {}
            has_index = f"{folder}/index.js" in self._source.tree.files
            if content.get("name") and (has_index or any(key in content for key in _FOR_OTHERS)):
                yield str(content["name"])


def _escaped(name: str) -> bytes:
    return re.escape(name.encode(errors="replace"))
