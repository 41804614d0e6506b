"""A server on the loopback address that plays the hub."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants as constants
import huggingface_hub.file_download as file_download

from segs_detailer.hub import access
from segs_detailer.hub.weights import PinnedFile

COMMIT = "c0ffee" + 34 * "0"


class FakeHub(ThreadingHTTPServer):
    """Serves `files`, content by `repository/file`, at one commit.

    `sent` has what is sent instead of a file's content, whatever was announced. `requests` are those that came. Of
    repositories that are `gated`, nothing is sent.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {}
        self.sent = {}
        self.requests = []
        self.refuses = 0
        self.gated = set()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self._thread.join()

    def serve(self, monkeypatch, cache):
        """Make huggingface_hub ask this server, and keep what it gets in `cache`."""
        self.cache = cache
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        self.be_at(monkeypatch, self.url)
        # The waits between its tries.
        monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)

    def be_at(self, monkeypatch, url):
        """Let huggingface_hub look for the hub at a URL."""
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(access, "_rests_until", {})

    def add(self, content, *, name="toy", repository="some/models", file="toy.onnx"):
        """Serve a file, and give its entry."""
        self.files[f"{repository}/{file}"] = content
        return PinnedFile(
            name=name,
            repository=repository,
            file=file,
            revision=COMMIT,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            license="MIT",
            use="is tested",
        )

    @property
    def kept(self):
        """Files in the cache, but for what huggingface_hub notes for itself."""
        notes = (".locks", "CACHEDIR.TAG")
        paths = (path for path in self.cache.rglob("*") if path.is_file() or path.is_symlink())
        return sorted(path.name for path in paths if not any(note in path.parts for note in notes))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *_):
        pass

    def _answer(self, *, body):
        hub = self.server
        hub.requests.append((self.command, self.path))
        if hub.refuses:
            return self._send(hub.refuses, {}, b"")
        if any(name in self.path for name in hub.gated):
            return self._send(403, {"X-Error-Code": "GatedRepo"}, b"")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            return self._describe(path.removeprefix("/api/models/"))
        name = path.removeprefix("/").replace(f"/resolve/{COMMIT}/", "/").replace("/resolve/main/", "/")
        if name not in hub.files:
            return self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
        content = hub.files[name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Content-Length": str(len(content))}
        return self._send(200, headers, hub.sent.get(name, content) if body else b"", close=name in hub.sent)

    def _describe(self, name):
        repository = "/".join(name.split("/")[:2])
        files = {key: value for key, value in self.server.files.items() if key.startswith(f"{repository}/")}
        if not files:
            return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"")
        names = [key.removeprefix(f"{repository}/") for key in files]
        if "/tree/" in name:
            blob = {"type": "file", "oid": "0" * 40}
            answer = [{**blob, "path": each, "size": len(files[f"{repository}/{each}"])} for each in names]
        else:
            answer = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": each} for each in names]}
        content = json.dumps(answer).encode()
        return self._send(200, {"Content-Length": str(len(content)), "Content-Type": "application/json"}, content)

    def _send(self, status, headers, content, *, close=False):
        self.send_response(status)
        for key, value in {"X-Repo-Commit": COMMIT, "Content-Length": "0", **headers}.items():
            self.send_header(key, value)
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)
