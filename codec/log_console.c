// SPDX-License-Identifier: Apache-2.0
/* Log records for people; see log_console.h. */
#include "codec/log_console.h"

#include "base/clock.h"
#include "codec/json_value.h"
#include "codec/log_json.h"

typedef struct {
    const batch *b;
    uint32_t row;
    bool colour;
    buf *out;
} line;

#define DIM    "\033[2m"
#define BOLD   "\033[1m"
#define CYAN   "\033[36m"
#define NORMAL "\033[0m"

static void paint(line *l, const char *code)
{
    if (l->colour)
        buf_str(l->out, str_c(code));
}

/* U+0080 to U+009F, marks of direction, line and paragraph separators: two or three bytes. */
static size_t unsafe_length(str s)
{
    unsigned char a = (unsigned char)s.ptr[0], b = s.len > 1 ? (unsigned char)s.ptr[1] : 0,
                  c = s.len > 2 ? (unsigned char)s.ptr[2] : 0;
    if (a == 0xc2 && b >= 0x80 && b <= 0x9f)
        return 2;
    if (a == 0xe2 && b == 0x80 && ((c >= 0xa8 && c <= 0xae) || c == 0x8e || c == 0x8f))
        return 3;
    if (a == 0xe2 && b == 0x81 && c >= 0xa6 && c <= 0xa9)
        return 3;
    return 0;
}

static void escape(buf *out, unsigned char c)
{
    if (c == '\n')
        buf_lit(out, "\\n");
    else if (c == '\t')
        buf_lit(out, "\\t");
    else if (c == '\r')
        buf_lit(out, "\\r");
    else
        buf_fmt(out, "\\x%02x", c);
}

/* Bytes that do nothing but show a character; of anything else, what it is. */
static void put_safe(buf *out, str s, bool in_quotes)
{
    size_t i = 0, valid = utf8_valid_prefix(s);
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t unsafe = c >= 0x80 ? unsafe_length(str_slice(s, i, s.len)) : 0;
        if (i == valid) {
            escape(out, c);
            i++;
            valid = i + utf8_valid_prefix(str_slice(s, i, s.len));
        } else if (unsafe) {
            for (size_t k = 0; k < unsafe; k++)
                escape(out, (unsigned char)s.ptr[i + k]);
            i += unsafe;
        } else {
            if (c < 0x20 || c == 0x7f) {
                escape(out, c);
            } else {
                if (in_quotes && (c == '"' || c == '\\'))
                    buf_char(out, '\\');
                buf_char(out, (char)c);
            }
            i++;
        }
    }
}

static bool needs_quotes(str s)
{
    bool plain = s.len > 0;
    for (size_t i = 0; i < s.len && plain; i++)
        plain = (unsigned char)s.ptr[i] > ' ' && s.ptr[i] != '"' && s.ptr[i] != '=';
    return !plain;
}

static void put_value(line *l, const value *v)
{
    char small[256];
    buf text = { .ptr = small, .cap = sizeof(small), .limit = sizeof(small) };
    if (v->type == VALUE_STR) {
        bool quoted = needs_quotes(v->s);
        if (quoted)
            buf_char(l->out, '"');
        put_safe(l->out, v->s, quoted);
        if (quoted)
            buf_char(l->out, '"');
        return;
    }
    if (v->type == VALUE_MAP || v->type == VALUE_ARRAY || v->type == VALUE_BYTES) {
        /* JSON escapes control characters, the rest is seen to here. */
        buf json;
        buf_init(&json, MiB(1));
        value_to_text(v, &json);
        put_safe(l->out, buf_view(&json), false);
        buf_done(&json);
        return;
    }
    if (v->type == VALUE_EMPTY)
        buf_lit(&text, "null");
    else
        value_to_text(v, &text);
    buf_str(l->out, buf_view(&text));
}

static void put_field(line *l, const attr *a)
{
    buf_char(l->out, ' ');
    paint(l, CYAN);
    put_safe(l->out, a->key, false);
    paint(l, NORMAL);
    buf_char(l->out, '=');
    put_value(l, &a->value);
}

static bool is_stack(const attr *a)
{
    return str_is(a->key, "exception.stacktrace") && a->value.type == VALUE_STR;
}

static void put_fields(line *l, bool context)
{
    const attrs *a = &l->b->logs.attributes[l->row];
    for (uint32_t i = 0; i < a->count; i++)
        if (log_row_in_context(l->b, l->row, i) == context && !is_stack(&a->items[i]) &&
            log_row_shows(l->b, l->row, i, false, false))
            put_field(l, &a->items[i]);
}

static void put_stack(line *l)
{
    str rest = attrs_get_str(&l->b->logs.attributes[l->row], STR("exception.stacktrace"));
    while (rest.len) {
        buf_lit(l->out, "    ");
        put_safe(l->out, str_cut(rest, '\n', &rest), false);
        buf_char(l->out, '\n');
    }
}

/* The time of day: what stands between T and Z. */
static void put_time(line *l, int digits)
{
    char text[40];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    clock_format_rfc3339(&b, log_row_time(l->b, l->row), digits);
    str all = buf_view(&b);
    paint(l, DIM);
    buf_str(l->out, str_slice(all, 11, all.len - 1));
    paint(l, NORMAL);
    buf_char(l->out, ' ');
}

static void put_level(line *l)
{
    static const struct {
        const char *text, *colour;
    } levels[] = {
        { "TRACE", "\033[90m" }, { "DEBUG", "\033[90m" }, { "INFO ", "\033[32m" },
        { "WARN ", "\033[33m" }, { "ERROR", "\033[31m" }, { "FATAL", "\033[1;31m" },
    };
    uint8_t severity = l->b->logs.severity[l->row];
    bool known = severity >= 1 && severity <= 24;
    const char *text = known ? levels[(severity - 1) / 4].text : "-    ";
    if (known)
        paint(l, levels[(severity - 1) / 4].colour);
    buf_str(l->out, str_c(text));
    paint(l, NORMAL);
    buf_char(l->out, ' ');
}

static void put_message(line *l)
{
    const value *body = &l->b->logs.body[l->row];
    str logger = log_row_logger(l->b, l->row), event = l->b->logs.event_name[l->row];
    if (logger.len) {
        paint(l, DIM);
        put_safe(l->out, logger, false);
        buf_lit(l->out, ":");
        paint(l, NORMAL);
        buf_char(l->out, ' ');
    }
    paint(l, BOLD);
    if (body->type == VALUE_STR)
        put_safe(l->out, body->s, false);
    else if (body->type == VALUE_EMPTY)
        put_safe(l->out, event, false);
    else
        put_value(l, body);
    paint(l, NORMAL);
}

void log_console_row(const batch *b, uint32_t row, int digits, bool colour, buf *out)
{
    line l = { b, row, colour, out };
    put_time(&l, digits);
    put_level(&l);
    put_message(&l);
    put_fields(&l, false);
    put_fields(&l, true);
    if (trace_id_is_set(b->logs.trace[row])) {
        char hex[32];
        str_to_hex(b->logs.trace[row].bytes, 16, hex);
        paint(&l, DIM);
        buf_fmt(out, " trace_id=%.*s", (int)sizeof(hex), hex);
        paint(&l, NORMAL);
    }
    buf_char(out, '\n');
    put_stack(&l);
}
