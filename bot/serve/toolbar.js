// A preview's toolbar. It reads nothing of the page, keeps nothing, and asks no host for
// anything; what it says is written into this file when it is served.
"use strict";
(() => {
  const facts = FACTS;
  const STYLE = `
    :host { all: initial; position: fixed; right: 12px; bottom: 12px; z-index: 2147483647;
      color-scheme: light dark; }
    * { box-sizing: border-box; }
    section { --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --link: #0969da;
      font: 13px/1.5 system-ui, sans-serif; color: var(--ink); text-align: left;
      display: flex; flex-direction: column-reverse; align-items: flex-end; gap: 8px; }
    @media (prefers-color-scheme: dark) { section { --paper: #161b22; --ink: #e6edf3;
      --soft: #9198a1; --line: #3d444d; --link: #58a6ff; } }
    button, a { font: inherit; }
    button { color: inherit; background: var(--paper); border: 1px solid var(--line);
      border-radius: 6px; padding: 4px 10px; cursor: pointer; }
    button:hover { border-color: var(--soft); }
    .pill { border-radius: 16px; padding: 4px 12px; max-width: min(300px, calc(100vw - 24px));
      overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
      box-shadow: 0 1px 4px rgb(0 0 0 / .25); }
    .panel { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
      padding: 12px 14px; width: 300px; max-width: calc(100vw - 24px); max-height: 70vh;
      overflow: auto; box-shadow: 0 4px 16px rgb(0 0 0 / .3); }
    .panel[hidden] { display: none; }
    h2 { font: 600 14px/1.4 system-ui, sans-serif; margin: 0 0 8px; overflow-wrap: anywhere; }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 0 0 8px; }
    dt { color: var(--soft); }
    dd { margin: 0; overflow-wrap: anywhere; }
    p { margin: 0 0 8px; }
    a { color: var(--link); }
    .links { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 0 0 10px; }
    .row { display: flex; gap: 8px; align-items: center; flex-wrap: wrap; }
    :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
    @media print { section { display: none; } }`;

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const link = ([href, words]) => make("a", { href, target: "_blank", rel: "noopener noreferrer" }, words);

  const copy = async (said) => {
    const address = facts.address + location.pathname.slice(facts.base.length) + location.search + location.hash;
    try {
      await navigator.clipboard.writeText(address);
      said.textContent = "Copied";
    } catch {
      said.textContent = address; // not allowed here: to be copied by hand
    }
  };

  const show = () => {
    const host = document.createElement("deploystack-toolbar");
    const root = host.attachShadow({ mode: "closed" });
    const sheet = new CSSStyleSheet(); // which no style-src forbids, unlike an element
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];

    const said = make("span", { role: "status" });
    const panel = make("div", { className: "panel", id: "panel", hidden: true },
      make("h2", {}, facts.project));
    panel.append(make("dl", {}, ...facts.rows.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])));
    if (facts.newer) panel.append(make("p", {}, link([facts.newer, "A newer version of this branch is live"])));
    panel.append(make("div", { className: "links" }, ...facts.links.map(link)));
    const copier = make("button", { type: "button" }, "Copy link");
    const hider = make("button", { type: "button" }, "Hide");
    panel.append(make("div", { className: "row" }, copier, hider, said));

    const pill = make("button", { type: "button", className: "pill" }, facts.title);
    pill.setAttribute("aria-controls", "panel");
    const toggle = (open) => {
      panel.hidden = !open;
      pill.setAttribute("aria-expanded", String(open));
    };
    toggle(false);
    pill.addEventListener("click", () => toggle(panel.hidden));
    copier.addEventListener("click", () => copy(said));
    hider.addEventListener("click", () => host.remove());
    const section = make("section", {}, pill, panel); // the way in comes first, and is shown below
    section.setAttribute("aria-label", "DeployStack preview");
    section.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || panel.hidden) return;
      event.stopPropagation();
      toggle(false);
      pill.focus();
    });
    root.append(section);
    document.documentElement.append(host);
  };

  document.currentScript?.remove(); // before the page's own scripts look at its elements
  if (document.readyState === "complete") show();
  else addEventListener("load", show, { once: true });
})();
