// SPDX-License-Identifier: Apache-2.0
/* W3C Trace Context, level 1 with the flags of level 2: https://www.w3.org/TR/trace-context-2/.
 * A wrong traceparent voids everything; a wrong tracestate voids only itself. */
#include "lib/propagate_w3c.h"

enum { TRACEPARENT_LEN = 55, MEMBERS_MAX = 32, LONG_MEMBER = 128 };

/* str_from_hex takes both cases; the recommendation only the lower one. */
static bool from_lower_hex(str s, uint8_t *ret, size_t n)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'F')
            return false;
    return str_from_hex(s, ret, n);
}

static str trim_ows(str s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_slice(s, 1, s.len);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool w3c_parse_traceparent(str text, w3c_parent *ret)
{
    uint8_t version, flags;
    w3c_parent p;
    text = trim_ows(text);
    if (text.len < TRACEPARENT_LEN || text.ptr[2] != '-' || text.ptr[35] != '-' ||
        text.ptr[52] != '-')
        return false;
    if (!from_lower_hex(str_slice(text, 0, 2), &version, 1) || version == 0xff)
        return false;
    if (text.len > TRACEPARENT_LEN && (version == 0 || text.ptr[TRACEPARENT_LEN] != '-'))
        return false;
    if (!from_lower_hex(str_slice(text, 3, 35), p.trace.bytes, 16) || !trace_id_is_set(p.trace) ||
        !from_lower_hex(str_slice(text, 36, 52), p.span.bytes, 8) || !span_id_is_set(p.span) ||
        !from_lower_hex(str_slice(text, 53, 55), &flags, 1))
        return false;
    p.flags = flags & (W3C_FLAG_SAMPLED | W3C_FLAG_RANDOM);
    *ret = p;
    return true;
}

void w3c_format_traceparent(const w3c_parent *parent, char ret[W3C_TRACEPARENT_SIZE])
{
    memcpy(ret, "00-", 3);
    str_to_hex(parent->trace.bytes, 16, ret + 3);
    ret[35] = '-';
    str_to_hex(parent->span.bytes, 8, ret + 36);
    ret[52] = '-';
    str_to_hex(&parent->flags, 1, ret + 53);
    ret[TRACEPARENT_LEN] = '\0';
}

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/';
}

/* key = lcalpha or digit, then up to 255 of the key characters; tenant@system with a tenant of up
 * to 241 and a system of up to 14. */
static bool key_is_good(str key)
{
    size_t at = str_find_char(key, '@');
    if (key.len == 0 || key.len > 256 || !is_key_char(key.ptr[0]) || strchr("_-*/", key.ptr[0]))
        return false;
    if (at != SIZE_MAX && (at == 0 || at > 241 || key.len - at - 1 == 0 || key.len - at - 1 > 14))
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (i != at && !is_key_char(key.ptr[i]))
            return false;
    return true;
}

static bool member_is_good(str member)
{
    size_t equals = str_find_char(member, '=');
    if (equals == SIZE_MAX || !key_is_good(str_slice(member, 0, equals)))
        return false;
    str v = str_slice(member, equals + 1, member.len);
    for (size_t i = 0; i < v.len; i++)
        if (v.ptr[i] < 0x20 || v.ptr[i] > 0x7e || v.ptr[i] == '=')
            return false;
    return v.len > 0 && v.len <= 256;
}

static str key_of(str member)
{
    return str_slice(member, 0, str_find_char(member, '='));
}

static bool has_key(const str *members, size_t count, str key)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(key_of(members[i]), key))
            return true;
    return false;
}

size_t w3c_tracestate(str text, char *out)
{
    str members[MEMBERS_MAX];
    size_t count = 0, total = 0;
    while (text.len) {
        str member = trim_ows(str_cut(text, ',', &text));
        if (member.len == 0)
            continue;
        if (count == MEMBERS_MAX || !member_is_good(member) ||
            has_key(members, count, key_of(member)))
            return 0;
        members[count++] = member;
        total += member.len + 1;
    }
    for (size_t i = count; i-- > 0 && total > W3C_TRACESTATE_MAX + 1;)
        if (members[i].len > LONG_MEMBER) {
            total -= members[i].len + 1;
            members[i].len = 0;
        }
    for (size_t i = count; i-- > 0 && total > W3C_TRACESTATE_MAX + 1;)
        if (members[i].len) {
            total -= members[i].len + 1;
            members[i].len = 0;
        }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (members[i].len == 0)
            continue;
        if (n)
            out[n++] = ',';
        memcpy(out + n, members[i].ptr, members[i].len);
        n += members[i].len;
    }
    return n;
}

bool request_id_is_good(str id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f || strchr("\"'\\,;<>", id.ptr[i]))
            return false;
    return id.len > 0 && id.len <= REQUEST_ID_MAX;
}
