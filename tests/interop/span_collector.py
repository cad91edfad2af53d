# SPDX-License-Identifier: Apache-2.0
"""A Jaeger collector (gRPC) and a Zipkin server (HTTP), made of grpcio, Python's http.server and the
message classes of OpenTelemetry's exporters for the two. Prints {"jaeger": PORT, "zipkin": PORT}, and then
each request as a line of JSON: {"protocol": "jaeger"|"json"|"proto", "spans": […], "process": …}.
--refuse N: the first N requests are answered UNAVAILABLE or 503. --jaeger ADDRESS: instead of a free port.

Run by the Python of interop/python/requirements.txt, whose classes need an older protobuf than OTLP's."""
import argparse
import gzip
import http.server
import json
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.jaeger.proto.grpc.gen import collector_pb2
from opentelemetry.exporter.zipkin.proto.http.v2.gen import zipkin_pb2

parser = argparse.ArgumentParser()
parser.add_argument("--refuse", type=int, default=0)
parser.add_argument("--jaeger", default="127.0.0.1:0")
options = parser.parse_args()
lock = threading.Lock()
left = options.refuse


def say(line):
    with lock:
        print(json.dumps(line), flush=True)


def take_turn():
    """Whether this request is one of those to refuse."""
    global left
    with lock:
        if left == 0:
            return False
        left -= 1
        return True


def post_spans(request, context):
    if take_turn():
        context.abort(grpc.StatusCode.UNAVAILABLE, "later")
    batch = MessageToDict(request)["batch"]
    say({"protocol": "jaeger", "process": batch.get("process"), "spans": batch["spans"]})
    return collector_pb2.PostSpansResponse()


class Jaeger(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method != "/jaeger.api_v2.CollectorService/PostSpans":
            return None
        return grpc.unary_unary_rpc_method_handler(
            post_spans, collector_pb2.PostSpansRequest.FromString,
            collector_pb2.PostSpansResponse.SerializeToString)


class Zipkin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        code = 503 if take_turn() else 202
        if self.path != "/api/v2/spans":
            code = 404
        if code == 202 and self.headers["Content-Type"] == "application/json":
            say({"protocol": "json", "spans": json.loads(body)})
        elif code == 202:
            spans = zipkin_pb2.ListOfSpans.FromString(body)
            say({"protocol": "proto", "spans": MessageToDict(spans)["spans"]})
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Jaeger(),))
jaeger = server.add_insecure_port(options.jaeger)
server.start()
zipkin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zipkin)
say({"jaeger": jaeger, "zipkin": zipkin.server_port})
try:
    zipkin.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
