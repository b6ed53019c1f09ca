"""A server on this machine in place of those that files are downloaded from."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server(BaseHTTPRequestHandler):
    """Serves `content`, from where it is asked to if it knows ranges; breaks each connection after some bytes."""

    content, ranges, breaks_after = b"", True, None

    def do_GET(self):
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if self.ranges else 0
        self.starts.append(start)
        self.send_response(206 if self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start:][: self.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Serves bytes: ``serve(content)`` gives the server's class and the URL of the file."""
    servers = []

    def serve(content):
        server = type("Server", (Server,), {"content": content, "starts": []})
        http = ThreadingHTTPServer(("127.0.0.1", 0), server)
        threading.Thread(target=http.serve_forever, args=(0.01,)).start()
        servers.append(http)
        return server, f"http://127.0.0.1:{http.server_port}/file"

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield serve
    for http in servers:
        http.shutdown()
        http.server_close()
