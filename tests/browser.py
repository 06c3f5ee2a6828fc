"""A headless Chromium that a test drives: the DevTools protocol over a pipe, which takes no port and no package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

PROGRAM = shutil.which("chromium")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
)


class Browser:
    """One page in a browser of its own; use it in a `with` block.

    `errors`: what the page's script threw, and what the page's policy refused.
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        assert PROGRAM is not None
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        # The browser reads commands from its descriptor 3, and writes what it says to 4.
        commands, self._write = (self._high(one) for one in os.pipe())
        self._read, answers = (self._high(one) for one in os.pipe())

        def arrange() -> None:
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        argv = [PROGRAM, *_OPTIONS[:-1], f"--user-data-dir={self._profile.name}", _OPTIONS[-1]]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=arrange,  # noqa: PLW1509 - no thread of the test's is in the way
        )
        os.close(commands)
        os.close(answers)
        self._number = 0
        self._buffer = b""
        self._session: Optional[str] = None
        self._events: List[Dict[str, Any]] = []
        self.errors: List[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)

    @staticmethod
    def _high(descriptor: int) -> int:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(descriptor)
        return high

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile.name, ignore_errors=True)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> Dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                found: Dict[str, Any] = said["result"]
                return found

    def _next(self) -> Dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        said: Dict[str, Any] = json.loads(line)
        if said.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(said["params"]["exceptionDetails"]))
        elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
            self.errors.append(said["params"]["entry"]["text"])
        self._events.append(said)
        return said

    def size(self, width: int, height: int) -> None:
        """The size of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def dark(self, *, dark: bool) -> None:
        """What the reader's system prefers."""
        preferred = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": preferred}])

    def open(self, page: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self._events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self._events):
            self._next()

    def requests(self) -> List[str]:
        """What has been fetched since the page was opened."""
        return [
            one["params"]["request"]["url"] for one in self._events if one.get("method") == "Network.requestWillBeSent"
        ]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, once what was to be drawn is drawn."""
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        said = self.call(
            "Runtime.evaluate", expression=f"{drawn}.then(() => {expression})", awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press these keys, one after the other."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Move, press or release the left button: mouseMoved, mousePressed, mouseReleased."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def screenshot(self, target: Path) -> None:
        """The whole page as a PNG."""
        said = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(said["data"]))

    def printed(self, target: Path) -> None:
        """The page as a PDF, on A4."""
        said = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        target.write_bytes(base64.b64decode(said["data"]))
