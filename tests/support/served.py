"""A server on this machine in place of those that files are downloaded from."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server(BaseHTTPRequestHandler):
    """Serves `content` at `path_served`, all of it or only its first bytes; counts the requests."""

    content, path_served, breaks_after, requests = b"", "", None, 0

    def do_GET(self):
        if self.path != self.path_served:
            self.send_error(404)
            return
        type(self).requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: self.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Serves bytes: ``serve(content, name)`` gives the server's class and the URL of the file."""
    servers = []

    def serve(content, name):
        server = type("Server", (Server,), {"content": content, "path_served": f"/{name}"})
        http = ThreadingHTTPServer(("127.0.0.1", 0), server)
        http.handle_error = lambda *connection: None  # of one that the client has closed
        threading.Thread(target=http.serve_forever, args=(0.01,)).start()
        servers.append(http)
        return server, f"http://127.0.0.1:{http.server_port}/{name}"

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield serve
    for http in servers:
        http.shutdown()
        http.server_close()
