"""A real browser for tests, driven through its debugging protocol: sizes and colour schemes as on a phone, clicks, waiting.

async with open_browser(tmp_path) as tab:
    await tab.resize(390, dark=True)
    await tab.open("http://127.0.0.1:PORT/")
    assert await tab.too_wide() == []
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_S = 60.0
LEFT = "Inspected target navigated or closed"
"""What the browser answers to a question about a page that was left meanwhile."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip

# what a reader cannot reach: elements that end right of the page and lie in no box of their own that scrolls
TOO_WIDE = """
(() => {
  const width = document.documentElement.clientWidth, found = [];
  const scrolls = (node) => {
    for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (["auto", "scroll"].includes(style.overflowX) && up.getBoundingClientRect().right <= width + 1) return true;
    }
    return false;
  };
  for (const node of document.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (box.width > 1 && box.height > 1 && box.right > width + 1 && box.left < 5000 && !scrolls(node)) {
      found.push(`${node.tagName.toLowerCase()}.${node.className.baseVal ?? node.className} ${Math.round(box.right)}`);
    }
  }
  if (document.documentElement.scrollWidth > width) found.push(`page ${document.documentElement.scrollWidth} of ${width}`);
  return found;
})()
"""

# texts that are cut off: those that run out of a box which hides what does not fit (an ellipsis says so, and is no cut)
CUT_OFF = """
[...document.body.querySelectorAll("*")].filter((node) => {
  const style = getComputedStyle(node);
  return node.childElementCount === 0 && node.textContent.trim() && style.overflowX === "hidden"
    && style.textOverflow !== "ellipsis" && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 1;
}).map((node) => `${node.tagName.toLowerCase()}.${node.className}: ${node.textContent.slice(0, 40)}`)
"""


class Navigated(AssertionError):
    """The page was left while it was asked; the next one may be asked again."""


class Tab:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.problems: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            said = await self._socket.receive_json(timeout=START_S)
            self._note(said)
            if said.get("id") == number:
                if said.get("error", {}).get("message") == LEFT:
                    raise Navigated(method)
                assert "error" not in said, (method, said["error"])
                return said["result"]

    def _note(self, said: dict[str, Any]) -> None:
        """Keep what the browser complains about: errors of scripts, and what a content security policy refused."""
        if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
            self.problems.append(said["params"]["entry"]["text"])
        if said.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(said["params"]["exceptionDetails"].get("exception", {}).get("description")))

    async def resize(self, width: int, height: int = 844, *, dark: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    async def open(self, url: str) -> None:
        await self.js("window.palaestraOld = true")
        await self.send("Page.navigate", url=url)
        await self.until("!window.palaestraOld && document.readyState === 'complete'")

    async def js(self, expression: str) -> Any:
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (expression, found["exceptionDetails"])
        return found["result"].get("value")

    async def until(self, expression: str, *, timeout: float = 30.0) -> None:
        """Wait until an expression holds; it does not yet where the page is left meanwhile."""
        clock = asyncio.get_running_loop().time
        end = clock() + timeout
        while not await self._holds(expression):
            assert clock() < end, f"never: {expression}\n{(await self.js('document.body.innerText'))[:2000]}"
            await asyncio.sleep(0.05)

    async def _holds(self, expression: str) -> bool:
        """Whether an expression holds in a page that stays."""
        try:
            return bool(await self.js(f"Boolean({expression})"))
        except Navigated:
            return False

    async def text(self, selector: str = "body") -> str:
        return str(await self.js(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def too_wide(self) -> list[str]:
        """Return the elements that are out of reach at this width, or cut off."""
        return [*await self.js(TOO_WIDE), *await self.js(CUT_OFF)]

    async def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        """Save a picture of the page."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


def chromium() -> str:
    """Return a browser, or skip the test."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine")
    return found


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Tab]:
    """Start a browser with an empty profile and give its only tab."""
    profile = Path(tempfile.mkdtemp(prefix="profile-", dir=folder))  # an old one holds the port of an old browser
    process = subprocess.Popen([chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL)
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.send(f"{domain}.enable")
                yield tab
    finally:
        process.terminate()
        process.wait(timeout=20)


async def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """Wait for the browser to say where it listens."""
    clock = asyncio.get_running_loop().time
    end = clock() + START_S
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) >= 2:
            return int(lines[0])
        assert process.poll() is None, "the browser ended at once"
        assert clock() < end, "the browser does not start"
        await asyncio.sleep(0.05)
