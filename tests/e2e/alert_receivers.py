# SPDX-License-Identifier: Apache-2.0
"""Receivers of notifications for tests: a webhook that does as told, an SMTP server."""
import base64
import email
import email.policy
import http.server
import json
import socket
import ssl
import threading
import time


class Webhook:
    """Keeps every request. `behave` is a list of what to answer next: a status code, "close" (no answer), a
    number of seconds as a float to wait before 200, or (code, {headers}); when it is empty, 200."""

    def __init__(self, port=0):
        self.requests, self.behave, self.lock = [], [], threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.serve(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/hook" % self.port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self.lock:
            action = self.behave.pop(0) if self.behave else 200
        headers = {}
        if isinstance(action, tuple):
            action, headers = action
        if isinstance(action, float):
            time.sleep(action)
            action = 200
        record = {"key": handler.headers.get("Idempotency-Key"), "path": handler.path, "raw": body,
                  "headers": dict(handler.headers), "answer": action, "time": time.time(),
                  "body": json.loads(body)}
        with self.lock:
            self.requests.append(record)
        try:
            if action == "close":
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            handler.send_response(action)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        except OSError:
            pass  # the server was killed meanwhile

    def taken(self):
        with self.lock:
            return [r for r in self.requests if r["answer"] == 200]

    def all(self):
        with self.lock:
            return list(self.requests)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Mailbox:
    """An SMTP server (EHLO, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA) that keeps mails. `refuse` is a list of
    answers to give to the next MAIL commands."""

    def __init__(self, user=None, password=None, tls=None):
        """tls: (certificate, key), files in PEM; then STARTTLS is offered, and nothing is taken before it."""
        self.mails, self.refuse, self.logins = [], [], []
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.user, self.password = user, password
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        mail = {"encrypted": False}
        try:
            connection.sendall(b"220 mailbox\r\n")
            if self.talk(connection, mail) == "STARTTLS":
                with self.tls.wrap_socket(connection, server_side=True) as encrypted:
                    mail["encrypted"] = True
                    self.talk(encrypted, mail)
        except (OSError, ValueError):
            pass  # the client went away
        finally:
            connection.close()

    def talk(self, connection, mail):
        """Until the end, or until TLS is to begin."""
        f = connection.makefile("rwb")

        def say(line):
            f.write(line.encode() + b"\r\n")
            f.flush()

        for raw in f:
            line = raw.decode().rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                mail["hello"] = line[5:]
                say("250-mailbox")
                if self.tls and not mail["encrypted"]:
                    say("250 STARTTLS")
                else:
                    say("250 AUTH PLAIN LOGIN" if self.user else "250 8BITMIME")
            elif verb == "STARTTLS":
                say("220 go on")
                return verb
            elif verb == "AUTH":
                text = line.split(" ")[2] if line.count(" ") > 1 else ""
                if not text:
                    say("334 ")
                    text = f.readline().decode().strip()
                name, password = base64.b64decode(text).decode().split("\0")[-2:]
                self.logins.append(name)
                good = (name, password) == (self.user, self.password)
                say("235 welcome" if good else "535 wrong password")
            elif verb == "MAIL" and self.tls and not mail["encrypted"]:
                say("530 STARTTLS first")
            elif verb == "MAIL" and self.refuse:
                say(self.refuse.pop(0))
            elif verb == "MAIL":
                mail.update({"from": line.split("<")[1].split(">")[0], "to": []})
                say("250 good")
            elif verb == "RCPT":
                mail["to"].append(line.split("<")[1].split(">")[0])
                say("250 good")
            elif verb == "DATA":
                say("354 go on")
                self.mails.append({**mail, "message": self.read_message(f)})
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 good")
        return None

    @staticmethod
    def read_message(f):
        lines = []
        for part in f:
            if part == b".\r\n":
                break
            lines.append(part[1:] if part.startswith(b"..") else part)
        return email.message_from_bytes(b"".join(lines), policy=email.policy.default)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
