"""Chromium without a window, steered over its DevTools websocket."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from pathlib import Path

from comfy_server import _Socket

from processes import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium():
    """The browser's path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page."""

    def __init__(self, folder, size=(1920, 1080)):
        self._folder, self._number = Path(folder), 0
        self.process = subprocess.Popen(
            [
                chromium(),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                f"--window-size={size[0]},{size[1]}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = self._port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            page = next(target for target in json.loads(answer.read()) if target["type"] == "page")
        self._connection = _Page(port, page["webSocketDebuggerUrl"].partition(str(port))[2])

    def _port(self):
        file, end = self._folder / "DevToolsActivePort", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if file.is_file() and (lines := file.read_text().splitlines()):
                return int(lines[0])
            time.sleep(0.1)
        self.process.kill()
        raise RuntimeError("Chromium did not come up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.__exit__()
        self.process.terminate()
        self.process.wait(PATIENCE)

    def call(self, method, **parameters):
        self._number += 1
        self._connection.send({"id": self._number, "method": method, "params": parameters})
        for message in self._connection.events(time.monotonic() + PATIENCE):
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
        raise AssertionError(f"no answer to {method}")

    def evaluate(self, code):
        """The value of a JavaScript expression; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, address, ready):
        """Load a page, until an expression is true."""
        self.call("Page.navigate", url=address)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(0.3)
            if self.evaluate(f"Boolean({ready})"):
                return
        raise AssertionError(f"{ready} did not come true")

    def picture(self, **options):
        return base64.b64decode(self.call("Page.captureScreenshot", **options)["data"])


class _Page(_Socket):
    def __init__(self, port, path):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        while self._stream.readline().strip():
            pass

    def send(self, message):
        payload, mask = json.dumps(message).encode(), os.urandom(4)
        length = len(payload)
        if length < 126:
            head = struct.pack(">BB", 0x81, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack(">BBH", 0x81, 0x80 | 126, length)
        else:
            head = struct.pack(">BBQ", 0x81, 0x80 | 127, length)
        whole = int.from_bytes((mask * (length // 4 + 1))[:length], "big") ^ int.from_bytes(payload, "big")
        self._socket.sendall(head + mask + whole.to_bytes(length, "big"))
