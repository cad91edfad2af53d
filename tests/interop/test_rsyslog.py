# SPDX-License-Identifier: Apache-2.0
"""Debian's rsyslog ships what a program logs by its omelasticsearch; what it could not send while the server
was away arrives afterwards. It runs as this user, with its own configuration, work directory and pid."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from harness import Collector, wait_for

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
MODULE = glob.glob("/usr/lib/*/rsyslog/omelasticsearch.so")

SERVER = """
receivers:
  elasticsearch: { endpoint: '127.0.0.1:@elastic@' }
exporters:
  sonde: {}
service:
  pipelines:
    logs: { receivers: [elasticsearch], exporters: [sonde] }
"""

RSYSLOG = """
global(workDirectory="%(dir)s")
module(load="imuxsock" SysSock.Use="off")
module(load="omelasticsearch")
input(type="imuxsock" Socket="%(dir)s/log")
template(name="document" type="list" option.jsonf="on") {
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" caseConversion="upper" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="app" name="programname" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
template(name="index" type="string" string="syslog-%%$YEAR%%.%%$MONTH%%.%%$DAY%%")
action(type="omelasticsearch" server="127.0.0.1" serverport="%(port)d" template="document"
       searchIndex="index" dynSearchIndex="on" searchType="" bulkmode="on" healthChecktimeout="2000"
       retryfailures="off" action.resumeRetryCount="-1" action.resumeInterval="1"
       action.resumeIntervalMax="1" queue.type="LinkedList" queue.size="100000"
       queue.dequeueBatchSize="100")
"""


@pytest.fixture
def rsyslog():
    if not os.path.exists(RSYSLOGD) or not MODULE:
        pytest.skip("rsyslog with omelasticsearch is not installed")
    folder = tempfile.mkdtemp(prefix="sonde-rsyslog-")
    started = []

    def start(port):
        with open(folder + "/own.conf", "w") as f:
            f.write(RSYSLOG % {"dir": folder, "port": port})
        out = open(folder + "/out", "w")
        process = subprocess.Popen([RSYSLOGD, "-n", "-f", folder + "/own.conf", "-i", folder + "/pid"],
                                   stdout=out, stderr=out)
        started.append(process)
        wait_for("rsyslog's socket", lambda: os.path.exists(folder + "/log"))
        return folder
    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(folder)


def log(folder, texts, tag="shop", priority=8 * 1 + 4):
    """As syslog(3) does: facility user, severity warning."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(folder + "/log")
        for text in texts:
            s.send(("<%d>Oct 12 20:30:00 %s[77]: %s" % (priority, tag, text)).encode())


def texts(server, query):
    return {line.strip() for _, line, _ in server.logs(query)}


def test_syslog_lines_arrive_also_those_of_while_the_server_was_away(rsyslog):
    with Collector(SERVER) as server:
        folder = rsyslog(server.port["elastic"])
        first = {"line %d" % n for n in range(100)}
        log(folder, sorted(first))
        wait_for("the first lines", lambda: texts(server, '{service="shop"}') >= first)
        rows = server.logs('{service="shop", level="warn"}')
        assert len(rows) == 100
        fields = rows[0][2]
        assert fields["facility"] == "user" and fields["elasticsearch_index"].startswith("syslog-20")
        log(folder, ["quotes \" and \\ and \u00fc"], tag="odd", priority=8 + 3)
        wait_for("the odd one", lambda: texts(server, '{service="odd", level="error"}') ==
                 {"quotes \" and \\ and \u00fc"})
        server.kill()
        second = {"away %d" % n for n in range(100)}
        log(folder, sorted(second))
        server.start()
        third = {"again %d" % n for n in range(10)}
        log(folder, sorted(third))
        wait_for("all lines", lambda: texts(server, '{service="shop"}') >= first | second | third, 40)
