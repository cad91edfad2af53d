# SPDX-License-Identifier: Apache-2.0
"""tests/e2e/trace_context_service.c, compiled and running, and a server that it calls back."""
import http.client
import http.server
import json
import os
import subprocess
import threading

from harness import ROOT
from native import ENVIRONMENT, compile_program


class Recorder(http.server.BaseHTTPRequestHandler):
    """Remembers the headers of each call by its path."""
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls.setdefault(self.path, []).append((self.headers.items(), json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class TraceService:
    def __init__(self, folder, handler=Recorder, **environment):
        program = compile_program(os.path.join(ROOT, "tests/e2e/trace_context_service.c"),
                                  os.path.join(folder, "trace_context_service"), "-lmicrohttpd",
                                  "-lcurl")
        environment = {"SONDE_RECORDER_DIR": str(folder), "SONDE_LOG_OUTPUT": "none", **environment}
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**ENVIRONMENT, **environment})
        self.port = int(self.process.stdout.readline().split()[1])
        self.back = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.back.calls = {}
        threading.Thread(target=self.back.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.back.server_port}{path}"

    def post(self, headers, body):
        """Headers as they are, several of one name too."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        text = json.dumps(body).encode()
        connection.putrequest("POST", "/test", skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(text)))
        connection.endheaders(text)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()

    def calls(self, headers, count=1, arguments=()):
        """The headers of the calls that a request with these headers led to."""
        self.back.calls.clear()
        self.post(headers, [{"url": self.url(f"/{i}"), "arguments": list(arguments)}
                            for i in range(count)])
        for i in range(count):
            assert self.back.calls[f"/{i}"][0][1] == list(arguments)
        return [self.back.calls[f"/{i}"][0][0] for i in range(count)]

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=30)
        self.back.shutdown()
        self.back.server_close()
        assert code == 0
