"""A real Chromium without a screen, told what to do over its DevTools protocol."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import websocket

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One page."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection
        self._number = 0

    def run(self, script: str) -> Any:
        """What an expression comes to; a promise is waited for. What it throws is an error here."""
        arguments = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = self._ask("Runtime.evaluate", arguments)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"].get("description", answer))
        return answer["result"].get("value")

    def _ask(self, method: str, arguments: dict[str, Any]) -> Any:
        self._number += 1
        request = {"id": self._number, "method": method, "params": arguments}
        self._connection.send(json.dumps(request))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == self._number:
                return answer["result"]


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Page]:
    """A page that has loaded `url`. Where there is no Chromium, a test is skipped; not so on CI."""
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed; see kilo_test_tools in deploy/environment.sh")
        pytest.skip("chromium is not installed")
    browser = subprocess.Popen(
        [
            PROGRAM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert browser.stderr is not None
        for line in browser.stderr:
            if "DevTools listening on ws://" in line:
                break
        else:
            raise AssertionError("chromium ended")
        address = line.split("ws://")[1].partition("/")[0]
        with urlopen(Request(f"http://{address}/json/new?about:blank", method="PUT")) as answer:
            target = json.load(answer)["webSocketDebuggerUrl"]
        connection = websocket.create_connection(target, timeout=60, suppress_origin=True)
        page = Page(connection)
        page._ask("Page.enable", {})
        page._ask("Page.navigate", {"url": url})
        while json.loads(connection.recv()).get("method") != "Page.loadEventFired":
            pass
        yield page
        connection.close()
    finally:
        browser.terminate()
        browser.wait(20)
        assert browser.stderr is not None
        browser.stderr.close()
