// SPDX-License-Identifier: Apache-2.0
/* An observed WebSocket; see stream.h. */
#include "examples/debug-server/stream.h"

#include <stdio.h>

void stream_open(stream *s, const server_metrics *metrics, const char *role,
                 const sonde_context *parent, const char *session)
{
    char name[32];
    const sonde_attr attrs[] = { sonde_kv("session_id", session), sonde_kv("stream.role", role),
                                 sonde_kv("network.protocol.name", "websocket") };
    snprintf(name, sizeof(name), "stream %s", role);
    *s = (stream){ .metrics = metrics, .role = role };
    s->span = sonde_span_start(
        name, &(sonde_span_options){
                  .kind = SONDE_SERVER, .parent = parent, .attrs = attrs, .attr_count = 3 });
    sonde_counter_add(metrics->sockets, 1, role);
}

static void add(sonde_counter *counter, uint64_t *seen, uint64_t now, const char *role,
                const char *direction)
{
    if (now == *seen)
        return;
    sonde_counter_add(counter, (int64_t)(now - *seen), role, direction);
    *seen = now;
}

void stream_note(stream *s, const web_socket *socket)
{
    web_socket_counts now = web_socket_count(socket);
    add(s->metrics->messages, &s->seen.messages_in, now.messages_in, s->role, "in");
    add(s->metrics->messages, &s->seen.messages_out, now.messages_out, s->role, "out");
    add(s->metrics->bytes, &s->seen.bytes_in, now.bytes_in, s->role, "in");
    add(s->metrics->bytes, &s->seen.bytes_out, now.bytes_out, s->role, "out");
    if (now.dropped > s->seen.dropped)
        sonde_counter_add(s->metrics->dropped, (int64_t)(now.dropped - s->seen.dropped), s->role);
    s->seen.dropped = now.dropped;
}

void stream_drained(stream *s, const web_socket *socket, int64_t waited_ns)
{
    stream_note(s, socket);
    sonde_histogram_record(s->metrics->stream_lag, (double)waited_ns / 1e9, s->role);
}

void stream_dropped(stream *s, uint64_t count)
{
    const sonde_attr attr = sonde_kv("messages", count);
    sonde_span_event_on(s->span, "messages dropped", &attr, 1);
}

void stream_close(stream *s, const web_socket *socket, int code, const char *why)
{
    char text[8];
    snprintf(text, sizeof(text), "%d", code);
    stream_note(s, socket);
    sonde_counter_add(s->metrics->sockets, -1, s->role);
    sonde_counter_add(s->metrics->closes, 1, s->role, text);
    sonde_span_set_on(s->span, sonde_kv("websocket.close_code", code),
                      sonde_kv("websocket.messages_in", s->seen.messages_in),
                      sonde_kv("websocket.messages_out", s->seen.messages_out),
                      sonde_kv("websocket.bytes_out", s->seen.bytes_out),
                      sonde_kv("websocket.dropped", s->seen.dropped));
    if (code == WEB_SOCKET_LOST) {
        const sonde_attr type = sonde_kv("error.type", "connection_lost");
        sonde_span_fail_on(s->span, why && *why ? why : "the connection was lost", &type, 1);
    }
    sonde_span_end(s->span);
    s->span = NULL;
}
