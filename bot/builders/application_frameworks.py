"""Frameworks that can render on a server, and are static only where they are told to be.

More specific rows first. Whether such a project needs a server is read from its
configuration, as text: it is a program, which detection does not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bot.builders.framework import Framework
from bot.builders.project import Project
from bot.builders.wrapped_configuration import inserting, wrapping

_VITE_CONFIGURATION = "vite.config.*"
_TELL_NEXT = "https://nextjs.org/docs/app/guides/static-exports"


def _next_needs_a_server(project: Project) -> bool:
    exported = project.says(r"output\s*:\s*['\"`]export['\"`]", "next.config.*")
    scripts = project.package.scripts.values() if project.package else ()
    return not exported and not any("next export" in script for script in scripts)


def _sveltekit_needs_a_server(project: Project) -> bool:
    named = project.says(r"adapter-static", "svelte.config.*", _VITE_CONFIGURATION)
    return not named and not project.depends_on("@sveltejs/adapter-static")


# Since version 3 the options are in the Vite configuration, handed to a plugin.
_SVELTEKIT_PLUGIN = """\
(async () => {
  let plugins = [own.plugins];
  while (plugins.some((plugin) => plugin && (Array.isArray(plugin) || plugin.then)))
    plugins = (await Promise.all(plugins)).flat(Infinity);
  for (const plugin of plugins)
    if (plugin && plugin.name === "vite-plugin-sveltekit-setup")
      plugin.api.options.paths = { ...plugin.api.options.paths, base: {bare} };
  return { ...own, plugins };
})()"""


def _sveltekit_files(project: Project, base: str) -> Mapping[str, str]:
    if project.first("svelte.config.*"):
        return wrapping(
            ("svelte.config.*",),
            "{ ...own, kit: { ...own.kit, paths: { ...(own.kit || {}).paths, base: {bare} } } }",
        )(project, base)
    return wrapping((_VITE_CONFIGURATION,), _SVELTEKIT_PLUGIN)(project, base)


def _remix_files(project: Project, base: str) -> dict[str, str]:
    """Its plugin's `basename` is the router's. https://remix.run/docs/en/main/file-conventions/vite-config"""
    files = wrapping((_VITE_CONFIGURATION,), "{ ...own, base: {base} }")(project, base)
    return {
        n: inserting(t, r"\b(?:remix|vitePlugin)\(", "basename", base) for n, t in files.items()
    }


def _solid_start_files(project: Project, base: str) -> dict[str, str]:
    """`defineConfig` makes an application of its options at once: no wrapping reaches them."""
    path = project.first("app.config.*")
    text = project.text(path)
    changed = inserting(text, r"\bserver\s*:", "baseURL", base.rstrip("/"))
    if changed == text:
        server = f"server: {{ baseURL: {json.dumps(base.rstrip('/'))} }},"
        changed = re.sub(r"(defineConfig\(\s*\{)", lambda m: f"{m[1]} {server}", text, count=1)
    return {path: changed} if path else {}


def _qwik_files(project: Project, base: str) -> dict[str, str]:
    """https://qwik.dev/docs/qwikcity/#base-path : both the bundler and the router are told."""
    files = wrapping((_VITE_CONFIGURATION,), "{ ...own, base: {base} }")(project, base)
    call = r"\b(?:qwikCity|qwikRouter)\("
    return {name: inserting(text, call, "basePathname", base) for name, text in files.items()}


def _astro_needs_a_server(project: Project) -> bool:
    return project.says(r"output\s*:\s*['\"`]server['\"`]", "astro.config.*")


def _react_router_needs_a_server(project: Project) -> bool:
    return not project.says(r"ssr\s*:\s*false", "react-router.config.*")


def _remix_needs_a_server(project: Project) -> bool:
    return not project.says(r"ssr\s*:\s*false", _VITE_CONFIGURATION)


def _solid_start_needs_a_server(project: Project) -> bool:
    static = r"preset\s*:\s*['\"`](?:static|github-pages)['\"`]|ssr\s*:\s*false"
    return not project.says(static, "app.config.*", _VITE_CONFIGURATION)


def _tanstack_start_needs_a_server(project: Project) -> bool:
    static = r"prerender\s*:|spa\s*:|preset\s*:\s*['\"`]static['\"`]"
    return not project.says(static, _VITE_CONFIGURATION, "app.config.*")


def _qwik_needs_a_server(project: Project) -> bool:
    return not any(name in project.folders for name in ("adapters/static", "adapters/ssg"))


APPLICATION_FRAMEWORKS: tuple[Framework, ...] = (
    Framework(
        name="Next.js",
        documentation=_TELL_NEXT,
        packages=("next",),
        commands=(("next", "build"),),
        outputs=("out",),
        base_files=wrapping(("next.config.*",), "{ ...own, basePath: {bare} }", "next.config.js"),
        server_only=_next_needs_a_server,
        static_hint=f"Set output: 'export' in next.config.js: {_TELL_NEXT}",
    ),
    Framework(
        name="Nuxt",
        documentation="https://nuxt.com/docs/getting-started/deployment#static-hosting",
        packages=("nuxt", "nuxt3", "nuxt-edge"),
        scripts=("generate",),
        commands=(("nuxt", "generate"), ("nuxi", "generate")),
        node=((4, ">=22"),),
        outputs=(".output/public", "dist"),
        base_environment={"NUXT_APP_BASE_URL": "{base}"},
    ),
    Framework(
        name="SvelteKit",
        documentation="https://svelte.dev/docs/kit/adapter-static",
        packages=("@sveltejs/kit",),
        commands=(("vite", "build"), ("svelte-kit", "build")),
        node=((3, ">=22"),),
        outputs=("build",),
        base_files=_sveltekit_files,
        server_only=_sveltekit_needs_a_server,
        static_hint="Use @sveltejs/adapter-static: https://svelte.dev/docs/kit/adapter-static",
    ),
    Framework(
        name="Astro",
        documentation="https://docs.astro.build/en/reference/cli-reference/#astro-build",
        packages=("astro",),
        commands=(("astro", "build"),),
        node=((6, ">=22.12"),),
        outputs=("dist",),
        base_arguments=("--base={base}",),
        server_only=_astro_needs_a_server,
        static_hint="Remove output: 'server' from astro.config: pages are static by default.",
    ),
    Framework(
        name="React Router",
        documentation="https://reactrouter.com/how-to/spa",
        packages=("@react-router/dev",),
        commands=(("react-router", "build"),),
        node=((8, ">=22.22"),),
        outputs=("build/client",),
        spa=True,
        base_files=lambda project, base: {
            **wrapping(("react-router.config.*",), "{ ...own, basename: {base} }")(project, base),
            **wrapping((_VITE_CONFIGURATION,), "{ ...own, base: {base} }")(project, base),
        },
        server_only=_react_router_needs_a_server,
        static_hint="Set ssr: false in react-router.config: https://reactrouter.com/how-to/spa",
    ),
    Framework(
        name="Remix",
        documentation="https://remix.run/docs/en/main/guides/spa-mode",
        packages=("@remix-run/dev",),
        commands=(("remix", "vite:build"), ("remix", "build")),
        outputs=("build/client",),
        spa=True,
        base_files=_remix_files,
        server_only=_remix_needs_a_server,
        static_hint="Use SPA mode (ssr: false): https://remix.run/docs/en/main/guides/spa-mode",
    ),
    Framework(
        name="SolidStart",
        documentation="https://docs.solidjs.com/solid-start/reference/config/define-config",
        packages=("@solidjs/start",),
        commands=(("vinxi", "build"), ("vite", "build")),
        node=((2, ">=24"),),
        outputs=(".output/public", "dist/client"),
        base_environment={"SERVER_BASE_URL": "{bare}"},
        base_files=_solid_start_files,
        server_only=_solid_start_needs_a_server,
        static_hint="Set server: { preset: 'static' } in app.config.",
    ),
    Framework(
        name="TanStack Start",
        documentation="https://tanstack.com/start/latest/docs/framework/react/guide/static-prerendering",
        packages=("@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"),
        commands=(("vite", "build"), ("vinxi", "build")),
        outputs=("dist/client", ".output/public"),
        base_arguments=("--base={base}",),
        server_only=_tanstack_start_needs_a_server,
        static_hint="Turn on prerender or spa in the plugin's options in vite.config.",
    ),
    Framework(
        name="Qwik",
        documentation="https://qwik.dev/docs/guides/static-site-generation/",
        packages=("@builder.io/qwik-city", "@qwik.dev/router"),
        commands=(("qwik", "build"),),
        outputs=("dist{base}", "dist"),
        base_files=_qwik_files,
        server_only=_qwik_needs_a_server,
        static_hint="Add the static adapter: qwik add static",
    ),
)
