"""A real ComfyUI in a process of its own: prompts over HTTP, events over its websocket."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import segs_detailer
from processes import PATIENCE
from segs_detailer.comfyui.install import install

VARIABLE = "COMFYUI_PATH"
PYTHON_VARIABLE = "COMFYUI_PYTHON"
REASON = f"{VARIABLE} does not name a ComfyUI checkout"

_TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9


def comfy_python():
    """The Python that runs ComfyUI: this one, unless the variable names another."""
    return os.environ.get(PYTHON_VARIABLE, sys.executable)


def comfy_environment():
    """An environment in which that Python finds the package under test."""
    source = str(Path(segs_detailer.__file__).parents[1])
    paths = [source, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "OMP_NUM_THREADS": "1"}


def base_folder(folder):
    """A ComfyUI base directory with the nodes installed by the command, and the tests' own nodes."""
    (folder / "custom_nodes").mkdir(parents=True)
    for name in ("user", "input", "output", "temp", "models"):
        (folder / name).mkdir()
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        # The base directory stands for ComfyUI's own folder, which stays untouched.
        (folder / name).write_text("", encoding="utf-8")
    install(folder)
    (folder / "custom_nodes" / "tiny_nodes").symlink_to(Path(__file__).parent / "tiny_nodes", target_is_directory=True)
    return folder


class ComfyServer:
    """Runs until it is stopped."""

    def __init__(self, base, *options, device="--cpu"):
        self.base = base
        self.port = _free_port()
        self.log = base / "server.log"
        arguments = [device, "--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"]
        arguments += ["--base-directory", str(base), "--user-directory", str(base / "user")]
        arguments += [
            "--database-url",
            f"sqlite:///{base / 'user' / 'comfyui.db'}",
            "--preview-method",
            "latent2rgb",
            *options,
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [comfy_python(), str(Path(os.environ[VARIABLE]) / "main.py"), *arguments],
                cwd=os.environ[VARIABLE],
                env=comfy_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_up()

    def _wait_until_up(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
            else:
                return
        self.stop()
        raise RuntimeError(f"ComfyUI did not come up:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def post(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        return json.loads(text) if text else None

    def run(self, prompt, on_event=None):
        """Queue a prompt and return its events until it ends: dicts, and bytes for previews."""
        client = uuid.uuid4().hex
        events = []
        with _Socket(self.port, client) as connection:
            queued = self.post("/prompt", {"prompt": prompt, "client_id": client})
            # ComfyUI runs the rest of a graph in which one branch is wrong.
            assert not queued["node_errors"], queued["node_errors"]
            prompt_id = queued["prompt_id"]
            for event in connection.events(time.monotonic() + PATIENCE):
                events.append(event)
                if on_event is not None:
                    on_event(event)
                if isinstance(event, bytes) or event["data"].get("prompt_id") != prompt_id:
                    continue
                if event["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                    return events
        raise AssertionError(f"the prompt did not end: {events[-3:]}")

    def kept(self, name):
        """What the node Keep wrote."""
        import numpy as np

        with np.load(self.base / "output" / f"{name}.npz") as arrays:
            return dict(arrays)


def end_of(events):
    """How a run ended; the error where there was one."""
    last = events[-1]
    if last["type"] == "execution_error":
        raise AssertionError(last["data"]["exception_message"] + "\n" + "".join(last["data"]["traceback"]))
    return last["type"]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Socket:
    """As much of a websocket client (RFC 6455) as it takes to listen."""

    def __init__(self, port, client):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        assert b" 101 " in status, status
        while self._stream.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._socket.close()

    def events(self, deadline):
        while time.monotonic() < deadline:
            kind, payload = self._message()
            if kind == _CLOSE:
                return
            if kind == _BINARY:
                yield payload
            elif kind == _TEXT:
                yield json.loads(payload)

    def _message(self):
        kind, parts, is_last = None, [], False
        while not is_last:
            first, second = self._read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._read(8))
            payload, code = self._read(length), first & 0x0F
            if code == _PING:
                continue
            kind = kind or code
            parts.append(payload)
            is_last = bool(first & 0x80)
        return kind, b"".join(parts)

    def _read(self, count):
        data = self._stream.read(count)
        assert len(data) == count, "ComfyUI hung up"
        return data
