"""A panel on a page of its own, without JupyterLab: the shipped front end, and a kernel that the test plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Page

from dfs_sdk.ui.base import Panel

DRAW = """async ([code, style, given]) => {
    window.sent = [];
    const [traits, handlers] = [{ problems: [], ...given }, {}];
    const tell = (event, ...content) => (handlers[event] || []).forEach((hear) => hear(...content));
    window.set = (name, value) => { traits[name] = value; tell(`change:${name}`); tell("change"); };
    window.say = (content) => tell("msg:custom", content);
    const model = {
        get: (name) => traits[name], off() {}, send: (content) => sent.push(content),
        on: (event, hear) => (handlers[event] ||= []).push(hear),
        widget_manager: { kernel: { status: "idle", connectionStatus: "connected" } },
    };
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    const { default: make } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    const module = make();
    module.initialize({ model });
    module.render({ model, el: document.body.appendChild(document.createElement("div")) });
}"""


def draw(page: Page, kind: type[Panel], traits: Mapping[str, Any]) -> None:
    """Draw a view of a panel; afterwards `set(name, value)`, `say(message)` and `sent` of the page are its kernel."""
    page.goto("about:blank")
    page.evaluate(DRAW, [kind._esm.default_value, kind._css.default_value, dict(traits)])


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the view asked of its kernel so far, of one kind."""
    found: list[dict[str, Any]] = page.evaluate("(kind) => window.sent.filter((each) => each.kind === kind)", kind)
    return found
