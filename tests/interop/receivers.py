# SPDX-License-Identifier: Apache-2.0
"""Receivers for what libsonde exports, made of other people's code: grpcio and Python's http.server,
with and without TLS; and certificates for them."""
import gzip
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import zlib
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

REQUESTS = {"logs": logs_pb2.ExportLogsServiceRequest, "metrics": metrics_pb2.ExportMetricsServiceRequest,
            "traces": trace_pb2.ExportTraceServiceRequest}


def numbers(requests, signal):
    """The attribute n of all log records or spans, in the order of arrival."""
    found = []
    for request in requests:
        rows = ([r for x in request.resource_logs for s in x.scope_logs for r in s.log_records]
                if signal == "logs" else
                [r for x in request.resource_spans for s in x.scope_spans for r in s.spans])
        found += [a.value.int_value for r in rows for a in r.attributes if a.key == "n"]
    return found


class Receiver:
    """What came: self.requests[signal] are those that were taken, self.refused[signal] those that the script
    refused; self.attempts counts all."""

    def __init__(self, script=()):
        self.lock = threading.Lock()
        self.script = list(script)  # one answer for each attempt; then everything is taken
        self.requests = {"logs": [], "metrics": [], "traces": [], "zipkin": []}
        self.refused = {"logs": [], "metrics": [], "traces": [], "zipkin": []}
        self.heads = []  # (signal, headers) of all attempts
        self.attempts = 0

    def next_answer(self, signal, headers):
        with self.lock:
            self.attempts += 1
            self.heads.append((signal, headers))
            return self.script.pop(0) if self.script else None

    def take(self, signal, request):
        with self.lock:
            self.requests[signal].append(request)

    def refuse_it(self, signal, request):
        with self.lock:
            self.refused[signal].append(request)

    def numbers(self, signal):
        with self.lock:
            return numbers(self.requests[signal], signal)

    def refused_numbers(self, signal):
        with self.lock:
            return numbers(self.refused[signal], signal)

    def counted(self):
        """The newest value of counted_total."""
        with self.lock:
            values = [p.as_double or p.as_int for r in self.requests["metrics"] for x in r.resource_metrics
                      for s in x.scope_metrics for m in s.metrics if m.name == "counted_total"
                      for p in m.sum.data_points]
        return values[-1] if values else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class GrpcReceiver(Receiver):
    """An answer of the script: (code, message, retry seconds or None), or the number of rejected rows."""

    def __init__(self, script=(), credentials=None, address="127.0.0.1:0"):
        super().__init__(script)
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        outer = self

        def servicer(base, signal, response, rejected):
            class Servicer(base):
                def Export(self, request, context):
                    headers = dict(context.invocation_metadata())
                    headers["time-remaining"] = context.time_remaining()
                    answer = outer.next_answer(signal, headers)
                    if isinstance(answer, tuple):
                        outer.refuse_it(signal, request)
                        outer.refuse(context, *answer)
                    outer.take(signal, request)
                    result = response()
                    if answer:
                        setattr(result.partial_success, rejected, answer)
                        result.partial_success.error_message = "too old"
                    return result
            return Servicer()

        logs_grpc.add_LogsServiceServicer_to_server(servicer(
            logs_grpc.LogsServiceServicer, "logs", logs_pb2.ExportLogsServiceResponse,
            "rejected_log_records"), self.server)
        metrics_grpc.add_MetricsServiceServicer_to_server(servicer(
            metrics_grpc.MetricsServiceServicer, "metrics", metrics_pb2.ExportMetricsServiceResponse,
            "rejected_data_points"), self.server)
        trace_grpc.add_TraceServiceServicer_to_server(servicer(
            trace_grpc.TraceServiceServicer, "traces", trace_pb2.ExportTraceServiceResponse,
            "rejected_spans"), self.server)
        port = (self.server.add_secure_port(address, credentials) if credentials
                else self.server.add_insecure_port(address))
        self.endpoint = "%s://localhost:%d" % ("https" if credentials else "http", port)
        self.server.start()

    def refuse(self, context, code, message, retry_s):
        if retry_s is not None:
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.RetryInfo(
                retry_delay=duration_pb2.Duration(nanos=int(retry_s * 1e9))))
            rich = status_pb2.Status(code=code.value[0], message=message, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", rich.SerializeToString()),))
        context.abort(code, message)

    def stop(self):
        self.server.stop(0).wait()


class HttpReceiver(Receiver):
    """An answer of the script: (status, {headers}), or the number of rejected rows. Takes OTLP protobuf
    by the path's signal, and Zipkin's JSON."""

    def __init__(self, script=(), context=None, port=0):
        super().__init__(script)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                signal = {"logs": "logs", "metrics": "metrics", "traces": "traces",
                          "spans": "zipkin"}[self.path.rsplit("/", 1)[1]]
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = outer.next_answer(signal, {k.lower(): v for k, v in self.headers.items()})
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if isinstance(answer, tuple):
                    outer.refuse_it(signal, outer.decode(signal, body))
                    return self.reply(answer[0], b"", answer[1])
                outer.take(signal, outer.decode(signal, body))
                self.reply(202 if signal == "zipkin" else 200, b"", {})

            def reply(self, status, body, headers):
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], (OSError, zlib.error)):
                    super().handle_error(request, client_address)

        self.server = Quiet(("127.0.0.1", port), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.endpoint = "%s://localhost:%d" % ("https" if context else "http", self.port)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def decode(self, signal, body):
        return json.loads(body) if signal == "zipkin" else REQUESTS[signal].FromString(body)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Certificates:
    """Two authorities; a server's certificate for localhost and a client's, both of the first one."""

    def __init__(self, where):
        self.where = str(where)
        for name in ("ca", "other"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                         "-nodes", "-keyout", self.key(name), "-out", self.file(name), "-days", "2",
                         "-subj", "/CN=sonde test " + name)
        for name in ("server", "client"):
            request, extra = self.path(name + ".csr"), self.path(name + ".ext")
            with open(extra, "w") as f:
                f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                         "-keyout", self.key(name), "-out", request, "-subj", "/CN=localhost")
            self.openssl("x509", "-req", "-in", request, "-CA", self.file("ca"), "-CAkey", self.key("ca"),
                         "-CAcreateserial", "-out", self.file(name), "-days", "2", "-extfile", extra)

    def path(self, name):
        return os.path.join(self.where, name)

    def file(self, name):
        return self.path(name + ".pem")

    def key(self, name):
        return self.path(name + ".key")

    def openssl(self, *args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def read(self, path):
        with open(path, "rb") as f:
            return f.read()

    def grpc(self, mutual):
        return grpc.ssl_server_credentials(
            [(self.read(self.key("server")), self.read(self.file("server")))],
            root_certificates=self.read(self.file("ca")) if mutual else None,
            require_client_auth=mutual)

    def http(self, mutual):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("server"), self.key("server"))
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file("ca"))
        return context
