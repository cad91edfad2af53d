# SPDX-License-Identifier: Apache-2.0
"""Logs by python-logging-loki, the handler of Python's logging for Loki: send.py URL COUNT"""
import logging
import sys

import logging_loki

handler = logging_loki.LokiHandler(url=sys.argv[1], tags={"application": "checkout"}, version="1")
log = logging.getLogger("shop.cart")
log.setLevel(logging.DEBUG)
log.addHandler(handler)
for n in range(int(sys.argv[2])):
    log.warning("line %d \"quoted\" \u00fc", n, extra={"tags": {"kind": "odd" if n % 2 else "even"}})
