# SPDX-License-Identifier: Apache-2.0
"""An OTLP/HTTP receiver in the test's own process, to which collectors export JSON."""
import gzip
import http.server
import json
import threading

ROWS = {"logs": ("resourceLogs", "scopeLogs", "logRecords"),
        "traces": ("resourceSpans", "scopeSpans", "spans"),
        "metrics": ("resourceMetrics", "scopeMetrics", "metrics")}


class FarSide(http.server.ThreadingHTTPServer):
    """Keeps what came in `got`: (signal, request) each. Tests that want other answers override take."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.got, self.lock = [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def take(self, signal, request):
        """Status and headers of the answer; None: the connection ends without one."""
        with self.lock:
            self.got.append((signal, request))
        return 200, {}

    def rows(self, signal):
        """(resource attributes, row) of all that came."""
        outer, scopes, inner = ROWS[signal]
        with self.lock:
            return [(plain(r.get("resource", {}).get("attributes", [])), row)
                    for kind, body in self.got if kind == signal
                    for r in body[outer] for s in r[scopes] for row in s[inner]]

    def end(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a server that was killed


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms a request

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.take(self.path.rsplit("/", 1)[1], json.loads(body))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        for name, value in answer[1].items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")


def plain(attributes):
    return {a["key"]: list(a["value"].values())[0] for a in attributes}
