"""Reading a report in tests: its elements without a browser, its behaviour in one."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.browser import chromium


@dataclass
class Page:
    """What an HTML parser sees."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    text: str = ""

    @property
    def data(self):
        return next(json.loads(body) for attributes, body in self.scripts if attributes.get("id") == "transcript-data")


def parse(html: str) -> Page:
    page = Page()

    class Reader(HTMLParser):
        inside = ""
        attributes: dict[str, str | None]

        def handle_starttag(self, tag, attributes):
            page.tags.append((tag, dict(attributes)))
            if tag in ("script", "style"):
                self.inside, self.attributes, self.body = tag, dict(attributes), ""

        def handle_data(self, data):
            if self.inside:
                self.body += data
            else:
                page.text += data

        def handle_endtag(self, tag):
            if tag in ("td", "th", "dt", "dd", "p", "li", "caption", "h1", "h2"):
                page.text += " "
            if tag == self.inside:
                if tag == "script":
                    page.scripts.append((self.attributes, self.body))
                self.inside = ""

    Reader(convert_charrefs=True).feed(html)
    page.text = re.sub(r"\s+", " ", page.text.replace("\u00a0", " "))
    return page


def in_browser(report: Path, steps: str, folder: Path):
    """Open a report in a browser, run JavaScript on it from outside, and return what that gives.

    The page itself is not touched: it is shown in a frame of a page that drives it. `steps` is the body of an async
    function with `doc` (the report's document), `win` (its window), `$` (by id) and `type(id, text)`.
    """
    driver = folder / "driver.html"
    driver.write_text(
        f"""<!doctype html><meta charset="utf-8"><iframe id="frame" width="1200" height="900"></iframe>
<pre id="result">pending</pre><script>
const frame = document.getElementById("frame");
let started = false;
frame.onload = async () => {{
  if (started) return;
  started = true;
  const doc = frame.contentDocument, win = frame.contentWindow, $ = (id) => doc.getElementById(id);
  const type = (id, text) => {{ $(id).value = text; $(id).dispatchEvent(new win.Event("input", {{bubbles: true}})); }};
  const press = (key) => doc.body.dispatchEvent(new win.KeyboardEvent("keydown", {{key, bubbles: true}}));
  const shown = () => [...$("episodes").querySelectorAll("button .key")].map((node) => node.textContent);
  const title = () => $("transcript").querySelector("h3").textContent;
  try {{
    const result = await (async () => {{ {steps} }})();
    document.getElementById("result").textContent = JSON.stringify(result);
  }} catch (error) {{ document.getElementById("result").textContent = JSON.stringify({{failed: String(error)}}); }}
}};
frame.src = {json.dumps(report.resolve().as_uri())};
</script>""",
        encoding="utf-8",
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--virtual-time-budget=8000"]
    command = [chromium(), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", driver.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text != "pending", "the page never loaded"
    return json.loads(text)


__all__ = ["Page", "chromium", "in_browser", "parse"]
