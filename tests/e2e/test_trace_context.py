# SPDX-License-Identifier: Apache-2.0
"""W3C Trace Context, levels 1 and 2, seen from outside: a program with libsonde is sent headers and calls
back. The first part has the cases of the W3C's own harness, by its names of them."""
import re

import pytest

from trace_service import TraceService

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
GOOD = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-00")
PATTERN = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    s = TraceService(str(tmp_path_factory.mktemp("trace_context")))
    yield s
    s.stop()


def values(headers, name):
    return [v for k, v in headers if k.lower() == name]


def parent_of(headers):
    found = values(headers, "traceparent")
    assert len(found) == 1, headers
    match = PATTERN.match(found[0])
    assert match, found
    assert match[1] != "0" * 32 and match[2] != "0" * 16
    return match.groups()


def members_of(headers):
    found = values(headers, "tracestate")
    assert len(found) <= 1
    return [tuple(m.split("=", 1)) for m in found[0].split(",")] if found else []


def parents(*texts):
    return [[("traceparent", t)] for t in texts]


# Name of the case, headers of each request: the trace goes on.
INHERITED = {
    "traceparent_included_tracestate_missing": parents(GOOD),
    "traceparent_header_name_valid_casing": [[(n, GOOD)] for n in ("TraceParent", "TrAcEpArEnT", "TRACEPARENT")],
    "traceparent_version_0xcc": parents(f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future"),
    "traceparent_ows_handling": parents(f" {GOOD}", f"\t{GOOD}", f"{GOOD} ", f"{GOOD}\t", f"\t {GOOD} \t"),
}

# A new trace begins.
RESTARTED = {
    "both_traceparent_and_tracestate_missing": [[]],
    "traceparent_duplicated": [[("traceparent", f"00-{TRACE[:-1]}1-{PARENT}-01"), ("traceparent", GOOD)]],
    "traceparent_header_name": [[("trace-parent", GOOD)], [("trace.parent", GOOD)]],
    "traceparent_version_0x00": parents(f"{GOOD}.", f"{GOOD}-what-the-future"),
    "traceparent_version_0xcc": parents(f"cc-{TRACE}-{PARENT}-01.what-the-future"),
    "traceparent_version_0xff": parents(f"ff-{TRACE}-{PARENT}-01"),
    "traceparent_version_illegal_characters": parents(f".0-{TRACE}-{PARENT}-01", f"0.-{TRACE}-{PARENT}-01"),
    "traceparent_version_too_long": parents(f"000-{TRACE}-{PARENT}-01", f"0000-{TRACE}-{PARENT}-01"),
    "traceparent_version_too_short": parents(f"0-{TRACE}-{PARENT}-01"),
    "traceparent_trace_id_all_zero": parents(f"00-{'0' * 32}-{PARENT}-01"),
    "traceparent_trace_id_illegal_characters": parents(f"00-.{TRACE[1:]}-{PARENT}-01", f"00-{TRACE[:-1]}.-{PARENT}-01",
                                                       f"00-{'A' * 32}-{PARENT}-01"),
    "traceparent_trace_id_too_long": parents(f"00-{TRACE}3-{PARENT}-01"),
    "traceparent_trace_id_too_short": parents(f"00-{TRACE[:-1]}-{PARENT}-01"),
    "traceparent_parent_id_all_zero": parents(f"00-{TRACE}-{'0' * 16}-01"),
    "traceparent_parent_id_illegal_characters": parents(f"00-{TRACE}-.{PARENT[1:]}-01", f"00-{TRACE}-{PARENT[:-1]}.-01",
                                                        f"00-{TRACE}-{'A' * 16}-01"),
    "traceparent_parent_id_too_long": parents(f"00-{TRACE}-{PARENT}7-01"),
    "traceparent_parent_id_too_short": parents(f"00-{TRACE}-{PARENT[:-1]}-01"),
    "traceparent_trace_flags_illegal_characters": parents(f"00-{TRACE}-{PARENT}-.0", f"00-{TRACE}-{PARENT}-0."),
    "traceparent_trace_flags_too_long": parents(f"00-{TRACE}-{PARENT}-001"),
    "traceparent_trace_flags_too_short": parents(f"00-{TRACE}-{PARENT}-1"),
}

KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(chr(c) for c in range(0x20, 0x7f) if chr(c) not in ",=")
TENS = [",".join(f"bar{i:02}={i:02}" for i in range(t, min(t + 10, 33))) for t in (1, 11, 21, 31)]

# Name of the case, [(values of tracestate headers, what is handed on)]
STATES = {
    "tracestate_header_name_valid_casing": [(["foo=1"], "foo=1")],
    "tracestate_empty_header": [([""], ""), (["foo=1", ""], "foo=1"), (["", "foo=1"], "foo=1")],
    "tracestate_multiple_headers_different_keys": [
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3")],
    "tracestate_duplicated_keys": [(["foo=1,foo=1"], ""), (["foo=1,foo=2"], ""), (["foo=1", "foo=1"], ""),
                                   (["foo=1", "foo=2"], "")],
    "tracestate_all_allowed_characters": [([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
                                          ([f"{KEY}@a-z0-9_-*/={VALUE}"], f"{KEY}@a-z0-9_-*/={VALUE}")],
    "tracestate_ows_handling": [
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"), ([" foo=1"], "foo=1"), (["\tfoo=1"], "foo=1"),
        (["foo=1 "], "foo=1"), (["foo=1\t"], "foo=1"), (["\t foo=1 \t"], "foo=1")],
    "tracestate_key_illegal_characters": [(["foo =1"], ""), (["FOO=1"], ""), (["foo.bar=1"], "")],
    "tracestate_key_illegal_vendor_format": [(["foo@=1,bar=2"], ""), (["@foo=1,bar=2"], ""), (["foo@@bar=1,bar=2"], ""),
                                             (["foo@bar@baz=1,bar=2"], "")],
    "tracestate_member_count_limit": [(TENS, ",".join(TENS)), ([*TENS[:3], TENS[3] + ",bar33=33"], "")],
    "tracestate_key_length_limit": [
        (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"), (["foo=1", "z" * 257 + "=1"], ""),
        (["foo=1", "t" * 241 + "@" + "v" * 14 + "=1"], "foo=1," + "t" * 241 + "@" + "v" * 14 + "=1"),
        (["foo=1", "t" * 242 + "@v=1"], ""), (["foo=1", "t@" + "v" * 15 + "=1"], "")],
    "tracestate_value_illegal_characters": [(["foo=bar=baz"], ""), (["foo=,bar=3"], "")],
    # Of the recommendation, beyond the harness.
    "tracestate_empty_members": [(["foo=1,,bar=2,"], "foo=1,bar=2")],
    "tracestate_value_length_limit": [(["foo=" + "v" * 256], "foo=" + "v" * 256), (["foo=" + "v" * 257], "")],
    "tracestate_over_512_loses_long_members_first": [
        (["a=" + "x" * 100 + ",b=" + "y" * 200 + ",c=" + "z" * 100 + ",d=" + "w" * 100 + ",e=" + "v" * 100 + ",f=1"],
         "a=" + "x" * 100 + ",c=" + "z" * 100 + ",d=" + "w" * 100 + ",e=" + "v" * 100 + ",f=1")],
    "tracestate_over_512_of_short_members_loses_the_last_ones": [
        ([",".join(f"k{i}=" + "x" * 100 for i in range(6))], ",".join(f"k{i}=" + "x" * 100 for i in range(4)))],
}


@pytest.mark.parametrize("case", INHERITED)
def test_inherited(service, case):
    for headers in INHERITED[case]:
        trace, parent, flags = parent_of(service.calls(headers)[0])
        assert trace == TRACE and parent != PARENT and flags == "01", headers


@pytest.mark.parametrize("case", RESTARTED)
def test_restarted(service, case):
    for headers in RESTARTED[case]:
        trace, _, flags = parent_of(service.calls(headers)[0])
        assert trace not in (TRACE, TRACE[:-1] + "1", TRACE[1:] + "3") and flags == "03", headers


@pytest.mark.parametrize("case", STATES)
def test_tracestate(service, case):
    for states, wanted in STATES[case]:
        for name in ("tracestate", "TraceState"):
            out = service.calls([UNSAMPLED, *((name, s) for s in states)])[0]
            assert parent_of(out)[0] == TRACE
            assert ",".join(values(out, "tracestate")) == wanted, states


def test_tracestate_included_traceparent_missing(service):
    assert members_of(service.calls([("tracestate", "foo=1")])[0]) == []
    assert members_of(service.calls([("tracestate", "foo=1,bar=2")])[0]) == []


def test_tracestate_included_traceparent_included(service):
    out = service.calls([UNSAMPLED, ("tracestate", "foo=1,bar=2")])[0]
    assert parent_of(out)[0] == TRACE and members_of(out) == [("foo", "1"), ("bar", "2")]


def test_tracestate_header_name(service):
    for name in ("trace-state", "trace.state"):
        assert members_of(service.calls([UNSAMPLED, (name, "foo=1")])[0]) == []


@pytest.mark.parametrize("headers,same", [
    ([("traceparent", GOOD)], True), ([], None), ([("traceparent", f"00-{'0' * 32}-{PARENT}-01")], False)],
    ids=["with_valid_traceparent", "without_traceparent", "with_illegal_traceparent"])
def test_multiple_requests(service, headers, same):
    found = [parent_of(h) for h in service.calls(headers, 3)]
    assert len({parent for _, parent, _ in found}) == 3
    assert len({trace for trace, _, _ in found}) == 1
    if same is not None:
        assert (found[0][0] == TRACE) == same


# ---- level 2: the flags ----

@pytest.mark.parametrize("given,wanted", [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"),
                                          ("fc", "00"), ("09", "01")])
def test_known_flags_are_handed_on_and_others_are_not(service, given, wanted):
    assert parent_of(service.calls([("traceparent", f"00-{TRACE}-{PARENT}-{given}")])[0])[2] == wanted


def test_arguments_are_handed_on(service):
    service.calls([], 2, arguments=[{"url": "http://x/\"{", "arguments": []}, "text ]}", 7])


# ---- other propagators ----

B3 = {"OTEL_PROPAGATORS": "b3,b3multi,xray,jaeger"}


@pytest.fixture(scope="module")
def vendors(tmp_path_factory):
    s = TraceService(str(tmp_path_factory.mktemp("vendors")), **B3)
    yield s
    s.stop()


def test_every_chosen_propagator_writes(vendors):
    sent = [("b3", f"{TRACE}-{PARENT}-1"), ("traceparent", f"00-{'1' * 32}-{'2' * 16}-01")]
    out = dict((k.lower(), v) for k, v in vendors.calls(sent)[0])
    assert "traceparent" not in out
    span = out["x-b3-spanid"]
    assert out["x-b3-traceid"] == TRACE and out["x-b3-sampled"] == "1" and span != PARENT
    assert out["b3"] == f"{TRACE}-{span}-1"
    assert out["x-amzn-trace-id"] == f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={span};Sampled=1"
    assert out["uber-trace-id"] == f"{TRACE}:{span}:0:1"


@pytest.mark.parametrize("headers,trace,state", [
    ([("b3", f"{TRACE}-{PARENT}-0")], TRACE, "0"),
    ([("b3", f"{TRACE}-{PARENT}-d")], TRACE, "d"),
    ([("b3", f"{TRACE}-{PARENT}")], TRACE, "1"),
    ([("b3", f"{TRACE}-{PARENT}-1-{'7' * 16}")], TRACE, "1"),
    ([("b3", f"{PARENT}-{PARENT}-1")], "0" * 16 + PARENT, "1"),
    ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", PARENT), ("X-B3-Sampled", "0")], TRACE, "0"),
    ([("X-B3-TraceId", PARENT), ("X-B3-SpanId", PARENT), ("X-B3-Flags", "1")], "0" * 16 + PARENT, "d"),
    ([("X-B3-TraceId", TRACE), ("X-B3-SpanId", PARENT)], TRACE, "1"),
    ([("b3", "broken"), ("X-B3-TraceId", TRACE), ("X-B3-SpanId", PARENT), ("X-B3-Sampled", "0")], TRACE, "0"),
    ([("X-Amzn-Trace-Id", f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=0")], TRACE, "0"),
    ([("X-Amzn-Trace-Id", f"Sampled=?; Parent={PARENT}; Lineage=x:0; Root=1-{TRACE[:8]}-{TRACE[8:]}")], TRACE, "1"),
    ([("uber-trace-id", f"{TRACE}:{PARENT}:0:0")], TRACE, "0"),
    ([("uber-trace-id", f"{TRACE}%3A{PARENT}%3a0%3A3")], TRACE, "d"),
    ([("uber-trace-id", f"abc:def:0:1")], "0" * 29 + "abc", "1"),
    ([("b3", f"{'1' * 32}-{PARENT}-0"), ("uber-trace-id", f"{TRACE}:{PARENT}:0:1")], "1" * 32, "0"),
])
def test_headers_of_others_are_read(vendors, headers, trace, state):
    out = dict((k.lower(), v) for k, v in vendors.calls(headers)[0])
    assert out["b3"] == f"{trace}-{out['x-b3-spanid']}-{state}"


@pytest.mark.parametrize("headers", [
    [("b3", "0")], [("b3", f"{TRACE}-{PARENT}-x")], [("b3", f"{TRACE}-{PARENT}-1-2")], [("b3", f"{TRACE[:-1]}-{PARENT}-1")],
    [("b3", f"{'0' * 32}-{PARENT}-1")], [("X-B3-TraceId", TRACE)], [("X-Amzn-Trace-Id", f"Root=1-{TRACE[:8]}-{TRACE[8:]}")],
    [("X-Amzn-Trace-Id", f"Root=2-{TRACE[:8]}-{TRACE[8:]};Parent={PARENT};Sampled=1")], [("uber-trace-id", f"{TRACE}:{PARENT}:0")],
    [("uber-trace-id", f"{TRACE}:{'0' * 16}:0:1")], [("uber-trace-id", f"{TRACE}:{PARENT}:0:zz")]])
def test_wrong_headers_of_others_begin_a_new_trace(vendors, headers):
    out = dict((k.lower(), v) for k, v in vendors.calls(headers)[0])
    assert out["x-b3-traceid"] not in (TRACE, "0" * 32) and out["x-b3-sampled"] == "1"
