# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's SDK for Java sends traces, metrics and logs over gRPC and HTTP, gzipped."""
import pytest

import foreign
from judge import check_sdk


@pytest.mark.parametrize("protocol", ["grpc", "protobuf"])
def test_java(server, protocol):
    check_sdk(foreign.java_command(), protocol, server)
