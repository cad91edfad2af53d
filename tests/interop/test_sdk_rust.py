# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry's SDK for Rust sends traces, metrics and logs over gRPC and HTTP, gzipped."""
import pytest

import foreign
from harness import FULL
from judge import check_sdk


@pytest.mark.skipif(not FULL, reason="only in ./test full: takes minutes to build")
@pytest.mark.parametrize("protocol", ["grpc", "protobuf"])
def test_rust(server, protocol):
    check_sdk([foreign.rust_program()], protocol, server)
