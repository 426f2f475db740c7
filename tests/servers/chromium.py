"""A real browser: Chromium without a screen, driven through a pair of pipes by its own protocol
(https://chromedevtools.github.io/devtools-protocol/), so that nothing listens and nothing is installed for it.

A ``Tab`` is used as a person without a mouse uses it: Tab, Enter, blank, letters.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from servers.daemon import Unavailable

__all__ = ["Chromium", "Tab"]

PATIENCE = 20.0  # seconds for anything

_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": (" ", 32, " "),
    "Backspace": ("Backspace", 8, ""),
}


class Chromium:
    """One running browser; use as a context manager. Each tab has cookies of its own."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            raise Unavailable("chromium is not installed")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        options = [
            "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars",
            "--disable-sync", "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
        ]  # fmt: skip
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        words = [
            "bash",
            "-c",
            script,
            "bash",  # dash knows one digit only
            program,
            *options,
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._program = subprocess.Popen(
            words, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._number = 0
        self._over = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *exc: object) -> None:
        self._program.terminate()
        try:
            self._program.wait(10)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._listener.join(10)
        os.close(self._write)
        os.close(self._read)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        with self._changed:
            self._number += 1
            number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers or self._over, PATIENCE), method
            answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer.get("error"))
        result: dict[str, Any] = answer.get("result", {})
        return result

    def _listen(self) -> None:
        waiting = b""
        while data := os.read(self._read, 1 << 20):
            *messages, waiting = (waiting + data).split(b"\0")
            with self._changed:
                for text in messages:
                    message = json.loads(text)
                    if "id" in message:
                        self._answers[message["id"]] = message
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def tab(self, *, scripts: bool = True, language: str = "en", width: int = 1280, dark: bool = False) -> Tab:
        """Open an empty tab."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        made = Tab(self, session)
        made.ask("Page.enable")
        made.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        made.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        made.ask("Network.enable")
        made.ask("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        made.look(width, dark=dark)
        return made


class Tab:
    """One page, and the keyboard in front of it."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)

    def look(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Make the window so wide, light or dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.ask("Emulation.setEmulatedMedia", media="screen", features=[scheme, calm])

    def evaluate(self, expression: str) -> Any:
        """Return what an expression is worth; the debugger may do that where the page may not."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true of a page that is there as a whole, and return its value."""
        expression = f"document.readyState == 'complete' && ({expression})"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                value = self.evaluate(expression)
            except (AssertionError, KeyError):  # between two pages
                value = None
            if value:
                return value
            assert time.monotonic() < end, (expression, self.evaluate("document.body && document.body.innerText"))
            time.sleep(0.03)

    def open(self, url: str) -> None:
        """Open an address, and wait for the page that it leads to."""
        self.ask("Page.navigate", url=url)
        there = "location.protocol == 'http:' && !location.search.includes('token')"
        self.until(f"{there} && !!document.querySelector('h1')")

    # -- the keyboard ------------------------------------------------------------------------------------------------

    def press(self, key: str, *, modifiers: int = 0) -> None:
        name, code, text = _KEYS[key]
        common = {"key": name, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def tab_to(self, selector: str) -> None:
        """Go to an element by the Tab key alone."""
        for _ in range(120):
            if self.evaluate(f"!!document.activeElement && document.activeElement.matches({selector!r})"):
                return
            self.press("Tab")
        raise AssertionError(f"the keyboard does not reach {selector}")

    def type(self, selector: str, text: str) -> None:
        """Go to a field, and type over what is in it."""
        self.tab_to(selector)
        self.ask("Input.dispatchKeyEvent", type="rawKeyDown", key="a", code="KeyA", commands=["selectAll"])
        self.press("Backspace")
        if text:
            self.ask("Input.insertText", text=text)

    def choose(self, selector: str, letter: str) -> None:
        """Choose what begins with a letter in a list that has the focus."""
        self.tab_to(selector)
        code = ord(letter.upper())
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter, windowsVirtualKeyCode=code)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=letter, windowsVirtualKeyCode=code)

    # -- looking at it -----------------------------------------------------------------------------------------------

    def screenshot(self, path: Path, *selectors: str) -> None:
        """Write the page as a picture, or the part of it from the first of these elements to the last."""
        part: dict[str, Any] = {}
        if selectors:
            places = [f"document.querySelector({selector!r}).getBoundingClientRect()" for selector in selectors]
            top, bottom = (
                self.evaluate(f"{place}.{edge} + scrollY")
                for place, edge in ((places[0], "top"), (places[-1], "bottom"))
            )
            width = self.evaluate("document.documentElement.clientWidth")
            part["clip"] = {"x": 0, "y": top - 16, "width": width, "height": bottom - top + 32, "scale": 1}
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True, format="png", **part)
        path.write_bytes(base64.b64decode(answer["data"]))

    def axe(self, source: str) -> list[str]:
        """Return what axe-core finds, as WCAG 2.2 AA and its best practices have it."""
        self.evaluate(source)
        found = self.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations))"
        )
        return [
            f"{rule['id']} ({rule['impact']}): {node['target']} {node.get('failureSummary', '')}"
            for rule in json.loads(found)
            for node in rule["nodes"]
        ]
