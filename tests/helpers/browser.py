"""Headless Chromium, which speaks the DevTools protocol."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

import numpy as np
from helpers.commands import ended_after
from PIL import Image
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60


class Page:
    """A page that was loaded from a file, with everything that it printed and asked for."""

    def __init__(self, runner, socket):
        self._runner, self._socket, self._number = runner, socket, 0
        self.events = []

    def call(self, method, **parameters):
        """Result of a method of the protocol."""
        return self._runner.run(asyncio.wait_for(self._call(method, parameters), SECONDS))

    async def _call(self, method, parameters):
        self._number += 1
        number = self._number
        await self._socket.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.read_message())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def value(self, expression):
        """Value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, file):
        """Load a file, and wait until all its images are decoded."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=file.as_uri())
        while not self.value("document.readyState === 'complete' && location.protocol === 'file:'"):
            pass
        self.value("Promise.all([...document.images].filter((i) => i.src).map((i) => i.decode())).then(() => true)")

    def show(self, width, height, scheme="light"):
        """Set the size of the window and the colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def point(self, x, y, *, click=False):
        """Move the pointer, and perhaps click."""
        kinds = ["mouseMoved", *(["mousePressed", "mouseReleased"] if click else [])]
        for kind in kinds:
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def screenshot(self):
        """Pixels of the window, (H, W, 3)."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.array(Image.open(io.BytesIO(data)).convert("RGB"))

    def complaints(self):
        """Messages of the console, exceptions, and entries of the log."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event["method"] in kinds]

    def requests(self):
        """Addresses that were asked for."""
        asked = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in asked]


@contextmanager
def browser():
    """Page of a new browser."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        words += [f"--user-data-dir={folder}", "--no-first-run", "about:blank"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with ended_after(process):
            line = next(line for line in process.stderr if line.startswith("DevTools listening on"))
            port = line.split(":")[-1].split("/")[0]
            try:
                with asyncio.Runner() as runner:
                    socket = runner.run(_opened(port))
                    yield Page(runner, socket)
                    runner.run(_closed(socket))
            finally:
                process.stderr.close()


async def _opened(port):
    """Connection to the first page of the browser."""
    found = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
    page = next(item for item in json.loads(found.body) if item["type"] == "page")
    return await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=2**28)


async def _closed(socket):
    """Close the connection, and wait until it is closed."""
    socket.close()
    while await socket.read_message() is not None:
        pass
