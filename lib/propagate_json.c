// SPDX-License-Identifier: Apache-2.0
/* Contexts in JSON payloads, of jobs and messages: members of the payload's object. */
#include "lib/propagate_internal.h"
#include "lib/propagate_w3c.h"

#include "base/buf.h"
#include "codec/json.h"

static const struct {
    header_kind header;
    const char *member; /* NULL: as the options say */
} members[] = {
    { HEADER_TRACEPARENT, "traceparent" },
    { HEADER_TRACESTATE, "tracestate" },
    { HEADER_BAGGAGE, "baggage" },
    { HEADER_REQUEST_ID, NULL },
};

static str member_name(size_t i, const sonde_json_options *o)
{
    if (members[i].member)
        return str_c(members[i].member);
    return str_c(o && o->request_id_member ? o->request_id_member : "request_id");
}

static bool is_wanted(size_t i, const sonde_json_options *o)
{
    return members[i].header == HEADER_REQUEST_ID || !o || !o->request_id_only;
}

/* In tracing by request id alone the id is the trace's name in logs. */
static void name_trace(sonde_context *c, str id, const sonde_json_options *o)
{
    static const uint8_t none[16];
    if (!o || !o->request_id_member || strcmp(o->request_id_member, "trace_id") != 0 ||
        !request_id_is_good(id) || memcmp(c->trace_id, none, 16) != 0)
        return;
    sonde_attr attribute = sonde_kv_text("trace_id", (sonde_str){ id.ptr, id.len });
    (void)context_put(c, &attribute);
}

sonde_context sonde_extract_json_as(const char *json, size_t len, const sonde_json_options *o)
{
    carried in;
    arena memory;
    json_reader r;
    str key;
    memset(&in, 0, sizeof(in));
    arena_init(&memory, MiB(1));
    json_read(&r, json ? str_n(json, len) : STR_EMPTY, &memory, 0);
    if (json_next(&r) == JSON_OBJECT)
        while (json_next_key(&r, &key)) {
            size_t m = 0;
            while (m < ARRAY_LEN(members) && !(is_wanted(m, o) && str_eq(member_name(m, o), key)))
                m++;
            json_type type = json_next(&r);
            if (m < ARRAY_LEN(members) && type == JSON_STRING)
                in.of[members[m].header] = r.text;
            else if (!json_skip(&r))
                break;
        }
    if (r.type == JSON_ERROR)
        memset(&in, 0, sizeof(in));
    sonde_context c = propagate_extract(&in);
    name_trace(&c, in.of[HEADER_REQUEST_ID], o);
    arena_done(&memory);
    return c;
}

sonde_context sonde_extract_json(const char *json, size_t len)
{
    return sonde_extract_json_as(json, len, NULL);
}

size_t sonde_inject_json_as(char *ret, size_t size, const sonde_json_options *o)
{
    char text[PROPAGATE_TEXT];
    carried out;
    buf b;
    propagate_current(&out, text);
    buf_init(&b, KiB(16));
    json_writer w = json_write(&b);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        str value = out.of[members[i].header];
        if (value.len == 0 || !is_wanted(i, o))
            continue;
        json_key(&w, member_name(i, o));
        json_str(&w, value);
    }
    size_t n = b.failed || b.len >= size ? 0 : b.len;
    if (size && ret)
        str_copy_c(ret, size, str_slice(buf_view(&b), 0, n));
    buf_done(&b);
    return ret ? n : 0;
}

size_t sonde_inject_json(char *ret, size_t size)
{
    return sonde_inject_json_as(ret, size, NULL);
}

const char *sonde_trace_presence(const sonde_context *from)
{
    static const uint8_t none[16];
    str id;
    bool present = from && (memcmp(from->trace_id, none, 16) != 0 ||
                            (context_text(from, STR("request_id"), &id) && id.len));
    return present ? "present" : "missing";
}
