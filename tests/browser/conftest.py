"""ComfyUI's real front end in headless Chromium; skipped, with a line that says what is missing, without one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from ..host import conftest as hosts
from ..host.server import Host
from .front_end import FrontEnd

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Route

FOLDER = Path(__file__).parent
PACK = "perception-clip"  # the front end finds no help page in a folder with a dot in its name
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]  # a camera
WINDOW = {"width": 1600, "height": 1000}
MODEL_BYTES = 2_132_696_762  # what a download link says of itself

pytest_runtest_makereport = hosts.pytest_runtest_makereport
weights = hosts.weights


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="a folder for pictures of the workflows in the front end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """Where pictures of the workflows go: --screenshots, given when this folder is named on the command line."""
    folder: Path | None = request.config.getoption("--screenshots", default=None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def host(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A ComfyUI with its front end and the pack, and with nothing of its user's yet."""
    yield from serving(hosts.find_host(tmp_path_factory.mktemp("comfyui")))


def serving(server: Host) -> Iterator[Host]:
    """The ComfyUI while it runs, with its own front end. Skips where it has none."""
    if not server.has_package("comfyui_frontend_package"):
        needed = server.checkout / "requirements.txt"
        pytest.skip(f"{server.python} has no comfyui_frontend_package: pip install -r {needed}")
    server.pack = server.pack.rename(server.pack.with_name(PACK))
    server.has_weights = hosts.link_weights(server)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser that the system has: playwright's own is not downloaded."""
    pytest.importorskip("playwright", reason="no playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(CHROMIUM)} is installed: apt-get install chromium")
    return Path(found)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[BrowserContext]:
    """One browser for a module's pages. It ends with the module: while it lives, asyncio.run works nowhere else."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = started.new_context(viewport=WINDOW, color_scheme="dark", locale="en-GB")
        context.route(lambda url: not url.startswith(("http://127.0.0.1", "blob:", "data:")), stand_in)
        yield context
        started.close()


def stand_in(route: Route) -> None:
    """Answer for the world outside, which the front end asks how large a model is."""
    headers = {"Access-Control-Allow-Origin": "*", "Content-Length": str(MODEL_BYTES)}
    route.fulfill(status=200, headers=headers)


@pytest.fixture
def front_end(browser: BrowserContext, host: Host) -> Iterator[FrontEnd]:
    """A new page, started. The test fails if the browser's console has a complaint at its end."""
    page = browser.new_page()
    front_end = FrontEnd(page, host)
    front_end.start()
    front_end.listen()
    yield front_end
    page.close()
    assert front_end.errors == []


@pytest.fixture(scope="module")
def inputs(host: Host, astronaut: np.ndarray) -> None:
    """A face in each file that the workflows name: ComfyUI's own example, which shows none, and a video to choose."""
    host.put_picture("example.png", astronaut)
    with av.open(str(host.base / "input" / "choose_a_video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width = astronaut.shape[:2]
        stream.pix_fmt = "yuv420p"
        frames = [av.VideoFrame.from_ndarray(astronaut, format="rgb24")] * 4
        container.mux([packet for frame in [*frames, None] for packet in stream.encode(frame)])
