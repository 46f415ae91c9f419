"""A real headless Chromium and a server of files; the tests are skipped where something they need is absent."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import exported
import pytest
import tiny

# a node_modules folder, as `make test-web` makes it
MODULES = Path(os.environ.get("MTL_KERAS_NODE_MODULES", tiny.ROOT / ".web" / "node_modules"))
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1",
    "--window-size=1200,1000",
)  # fmt: skip


@pytest.fixture(scope="session")
def modules() -> Path:
    if not (MODULES / "@litertjs" / "core").is_dir():
        pytest.skip(f"no LiteRT.js in {MODULES}: run make test-web")
    return MODULES


@pytest.fixture(scope="session")
def browser(modules):
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: run make test-web")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with chromedriver: run make test-web")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in OPTIONS:
        options.add_argument(option)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    started.set_script_timeout(120)
    yield started
    started.quit()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def serve():
    """Serve a folder; gives its address."""
    servers = []

    def begin(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> exported.Shop:
    return exported.export_shop(tmp_path_factory.mktemp("versions") / "shop")
