"""ComfyUI's real front end in a browser, and the few things that the tests do in it, as a user would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Response

    from ..host.server import Host

SETTINGS = {
    "Comfy.TutorialCompleted": True,  # the template browser would open by itself
    "Comfy.Workflow.Persist": False,  # each page starts without the workflows of the one before
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0,  # text stays readable in a picture of the whole graph
}
STARTED = "window.app?.vueAppReady && app.graph && document.querySelector('.side-tool-bar-container')"
HUB = "https://huggingface.co"  # where newer versions look for the models of their own first workflow, in vain
NOT_YET_SAVED = "/userdata"  # what a new user has not saved is asked for all the same, and not found
MARGIN = 24  # pixels around a picture of the whole graph
READABLE = 0.7  # pixels of that picture for each unit of the graph

ON_CANVAS = """() => Object.fromEntries(app.graph.nodes.map(node => [node.id, {
    type: node.type,
    title: node.title,
    known: Boolean(LiteGraph.registered_node_types[node.type]),
    values: (node.widgets ?? []).filter(one => one.serialize !== false && !one.name.startsWith("$$"))
        .map(one => one.value),
    size: [...node.size],
}]))"""

SET = """([type, widget, value]) => {
    const found = app.graph.nodes.filter(node => node.type === type).flatMap(node => node.widgets)
        .filter(one => one.name === widget)
    for (const one of found) { one.value = value; one.callback?.(value) }
    return found.length
}"""

COLORS = """() => {
    const [links, slots] = [app.canvas.constructor.link_type_colors, app.canvas.default_connection_color_byType]
    return Object.fromEntries(Object.entries(links).filter(([type, color]) => color && slots[type] === color))
}"""

COLOR_BY_VUE = "type => getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`)"

ADD = """type => {
    app.graph.clear()
    const node = LiteGraph.createNode(type)
    node.pos = [1000, 200]  // right of the help
    app.graph.add(node)
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.draw(true, true)  // the buttons above a node go where it was last drawn
    app.canvas.selectNode(node)
}"""

NOTES = """() => app.graph.nodes.flatMap(node => (node.widgets ?? [])
    .filter(one => one.name === "note").map(one => [node.type, one.value]))"""

CUT_OFF = """() => [...document.querySelectorAll(".dom-widget > textarea[readonly]")]
    .filter(text => text.scrollHeight > text.clientHeight).map(text => text.value)"""

# The edges of all nodes, with their titles, and groups: left, top, right, bottom.
EDGES = """() => {
    const boxes = [...app.graph.nodes.map(node => { node.updateArea(); return [...node.boundingRect] }),
                   ...app.graph.groups.map(group => [...group.boundingRect])]
    return [Math.min(...boxes.map(box => box[0])), Math.min(...boxes.map(box => box[1])),
            Math.max(...boxes.map(box => box[0] + box[2])), Math.max(...boxes.map(box => box[1] + box[3]))]
}"""

LOOK_AT = """([scale, left, top]) => {
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [left, top]
    app.canvas.setDirty(true, true)
}"""


@dataclass(frozen=True)
class FrontEnd:
    """A page with ComfyUI in it. `errors` holds each complaint of the browser's console since it has started."""

    page: Page
    host: Host
    errors: list[str] = field(default_factory=list)

    def start(self, language: str = "en", palette: str = "dark") -> None:
        """Open the front end, or open it anew, in a language and a palette of colors."""
        for name, value in {**SETTINGS, "Comfy.Locale": language, "Comfy.ColorPalette": palette}.items():
            self.host.post(f"/settings/{name}", value)
        self.page.goto(self.host.url)
        self.page.wait_for_function(STARTED)
        self.errors.clear()

    def listen(self) -> None:
        """Take down what the browser's console complains of from now on."""
        self.page.on("console", lambda message: self._console(message))  # a bound method would be written to
        self.page.on("response", lambda response: self._response(response))
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or error.message))

    def _console(self, message: ConsoleMessage) -> None:
        """Keep an error; that a file failed to load, `_response` tells with its status."""
        expected = message.text.startswith("Failed to load resource") or HUB in message.text
        if message.type == "error" and not expected:
            self.errors.append(message.text)

    def _response(self, response: Response) -> None:
        if response.status >= 400 and NOT_YET_SAVED not in response.url:
            self.errors.append(f"{response.status} {response.url}")

    def open_template(self, pack: str, name: str) -> None:
        """Load a template by its card in the template browser."""
        self.page.get_by_role("button", name="Templates").click()
        self.page.get_by_role("option", name=pack).click()
        card = self.page.get_by_test_id(f"template-workflow-{name}")
        cards = self.page.locator("[data-testid^='template-workflow-']")
        cards.first.wait_for()
        for _ in range(20):  # the browser adds cards when its list is scrolled to the end
            if card.count():
                break
            cards.last.scroll_into_view_if_needed()
            self.page.wait_for_timeout(200)
        card.click()
        card.wait_for(state="hidden")
        self.page.wait_for_function("app.graph.nodes.length > 0")

    def choose_palette(self, name: str) -> None:
        self.page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", name)
        self.page.wait_for_timeout(500)  # it is loaded in the background

    def colors(self) -> dict[str, str]:
        """By type, the colors of links, where slots have them too."""
        return self.page.evaluate(COLORS)  # type: ignore[no-any-return]

    def color_by_vue(self, type: str) -> str:
        """What nodes drawn by Vue take for a type."""
        return self.page.evaluate(COLOR_BY_VUE, type)  # type: ignore[no-any-return]

    def dialogs(self) -> list[str]:
        """The names of the dialogs that are open."""
        found = self.page.locator(".p-dialog").all()
        return [dialog.get_attribute("aria-labelledby") or "" for dialog in found]

    def offered_models(self) -> list[str]:
        """What the dialog of missing models offers, as "folder / name", once it is there."""
        offers = self.page.locator(".comfy-missing-models li")
        offers.first.wait_for()
        return [offer.locator("span").first.inner_text() for offer in offers.all()]

    def close_dialog(self) -> None:
        self.page.locator(".p-dialog-close-button").click()
        self.page.locator(".p-dialog").wait_for(state="detached")

    def toasts(self) -> list[str]:
        return [toast.inner_text() for toast in self.page.locator(".p-toast-message").all()]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """By id, each node on the canvas: its type, title, widgets' values, size, and whether the host has the type."""
        return self.page.evaluate(ON_CANVAS)  # type: ignore[no-any-return]

    def set(self, node: str, widget: str, value: object) -> None:
        """Give a widget a value, on every node of that type."""
        assert self.page.evaluate(SET, [node, widget, value]), f"no {widget} on a {node}"

    def insert(self, name: str) -> None:
        """Add what the search finds first, as one does: double-click the canvas, type, press Enter."""
        before = len(self.nodes())
        for _ in range(20):  # a page that has just started takes no notice
            self.page.mouse.dblclick(900, 600)
            self.page.wait_for_timeout(1000)
            if self.page.evaluate("document.activeElement?.tagName") == "INPUT":
                break
        self.page.keyboard.type(name)
        self.page.get_by_text(name).first.wait_for()
        self.page.wait_for_timeout(500)  # the search follows the typing
        self.page.keyboard.press("Enter")
        self.page.wait_for_function("count => app.graph.nodes.length > count", arg=before)

    def run(self) -> None:
        self.page.get_by_test_id("queue-button").get_by_role("button").first.click()

    def notes(self) -> dict[str, str]:
        """Return the messages below the widgets of the nodes, by type."""
        return dict(self.page.evaluate(NOTES))

    def cut_off(self) -> list[str]:
        """Return the messages that do not fit and have to be scrolled."""
        return self.page.evaluate(CUT_OFF)  # type: ignore[no-any-return]

    def add(self, node: str) -> None:
        """A canvas with this node alone, selected."""
        self.page.evaluate(ADD, node)

    def open_help(self, node: str) -> None:
        """Ask for help as one does: select the node, press the i above it."""
        self.add(node)
        self.page.get_by_test_id("info-button").click()

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole graph and nothing else, large enough to read the widgets."""
        left, top, right, bottom = self.page.evaluate(EDGES)
        width, height = (right - left) * READABLE + 2 * MARGIN, (bottom - top) * READABLE + 2 * MARGIN
        before = self.page.viewport_size
        self.page.evaluate("app.extensionManager.focusMode = true")
        self.page.set_viewport_size({"width": round(width), "height": round(height)})
        self.page.wait_for_function("width => Math.abs(app.canvasEl.clientWidth - width) < 2", arg=round(width))
        self.page.evaluate(LOOK_AT, [READABLE, MARGIN / READABLE - left, MARGIN / READABLE - top])
        self.page.wait_for_timeout(500)  # the canvas is drawn, and the fields on it follow
        hidden = ".graph-canvas-panel ~ *, .p-buttongroup, .comfy-menu-hamburger { visibility: hidden !important }"
        self.page.screenshot(path=path, style=hidden)
        self.page.evaluate("app.extensionManager.focusMode = false")
        assert before is not None
        self.page.set_viewport_size(before)
