"""A server on this machine that speaks what import needs of the Hub's API, for the Hub's own client."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """One repository: files by name, by revision.

    Attributes:
        revisions: what it holds.
        asked: (method, revision, file) of every file that was asked for.
        meanwhile: called before a file is sent.
        broken: revisions whose weights are not given.
    """

    def __init__(self, revisions=None, name="me/net"):
        if revisions is not None:
            self.revisions = revisions
        self.asked, self.meanwhile = [], lambda: None
        self.broken, self.name = set(), name
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self, body=True)

            def do_HEAD(self):
                hub.answer(self, body=False)

            def log_message(self, *words):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def commit(self, revision):
        return hashlib.sha1(f"{revision} of {len(self.revisions[revision])} files".encode()).hexdigest()

    def answer(self, request, body):
        """Answer with refs, a tree, or a file; 404 for anything else."""
        path = unquote(urlsplit(request.path).path)
        commits = {self.commit(revision): revision for revision in self.revisions}
        refs = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for commit, name in commits.items()
        ]
        if path == f"/api/models/{self.name}/refs":
            self._send(request, json.dumps({"branches": refs, "tags": [], "converts": []}).encode(), body)
            return
        *_, kind, commit, file = (
            ["", *path.split("/")[-3:]] if "/tree/" not in path else [*path.split("/")[-2:], ""]
        )
        revision = commits.get(commit)
        if kind == "tree" and revision:
            files = self.revisions[revision].items()
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files
            ]
            self._send(request, json.dumps(tree).encode(), body)
        elif revision in self.broken and file.startswith("model"):
            request.send_error(403)
        elif kind == "resolve" and revision and file in self.revisions[revision]:
            self.asked.append((request.command, revision, file))
            self.meanwhile()
            data = self.revisions[revision][file]
            tag = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}
            self._send(request, data, body, tag)
        else:
            request.send_error(404)

    def _send(self, request, data, body, headers=()):
        request.send_response(200)
        for name, value in {
            "Content-Length": str(len(data)),
            "Accept-Ranges": "bytes",
            **dict(headers),
        }.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(data)
