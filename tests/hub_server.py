"""A Hugging Face hub for tests: on this machine, in memory, with just the requests that push and load make of it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_ofthetests"


class Hub(BaseHTTPRequestHandler):
    """server.files: repository → file name → bytes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quietly."""

    def reply(self, status, content=b"", **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Length": str(len(content)), "Content-Type": "application/json"} | headers
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            if name.startswith("other/"):
                return self.reply(403, {"error": "You don't have the rights to create a model under this namespace"})
            self.server.files.setdefault(name, {})
            return self.reply(200, {"url": f"{self.server.address}/{name}"})
        if self.path == "/api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        *_, owner, name, kind, _main = self.path.partition("?")[0].split("/")
        files = self.server.files[f"{owner}/{name}"]
        if kind == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            found = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return self.reply(200, {"files": found})
        assert kind == "commit", self.path
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                assert line["value"]["encoding"] == "base64"
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = {"commitUrl": f"{self.server.address}/{owner}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40}
        self.reply(200, commit | {"hookOutput": "", "pullRequestUrl": None})

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":  # what is known of a model
            known = "/".join(parts[2:4]) in self.server.files
            content = {"id": "/".join(parts[2:4]), "sha": "1" * 40, "siblings": []} if known else {"error": "no"}
            return self.reply(200 if known else 404, content, X_Error_Code="" if known else "RepoNotFound")
        owner, name, _resolve, _main, *path = parts
        files = self.server.files.get(f"{owner}/{name}")
        if files is None:
            return self.reply(404, {"error": "no"}, X_Error_Code="RepoNotFound")
        content = files.get("/".join(path))
        if content is None:
            return self.reply(404, {"error": "no"}, X_Error_Code="EntryNotFound", X_Repo_Commit="1" * 40)
        self.reply(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit="1" * 40)

    do_HEAD = do_GET


@contextmanager
def running():
    """The server, with its address, while it answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.files, server.address = {}, f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
