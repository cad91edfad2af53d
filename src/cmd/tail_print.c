// SPDX-License-Identifier: Apache-2.0
/* Prints tailed log lines; see tail_print.h. A line for people: local time, level, service,
 * message, fields. Control characters of a message never reach a terminal. */
#include "cmd/tail_print.h"

#include "base/clock.h"
#include "codec/json.h"

#include <time.h>

enum { FIELDS_MAX = 256 };

typedef struct {
    str name, text;
} field;

typedef struct {
    field items[FIELDS_MAX];
    size_t count;
} fields;

typedef struct {
    str time, line;
    fields metadata;
} entry;

static str find(const fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (str_is(f->items[i].name, name))
            return f->items[i].text;
    return STR_EMPTY;
}

/* ---- reading ---- */

/* The members of an object whose JSON_OBJECT was read; objects within are flattened (Loki's
 * "structuredMetadata" and "parsed"). */
static bool read_fields(json_reader *r, fields *ret)
{
    str name;
    while (json_next_key(r, &name)) {
        json_type t = json_next(r);
        if (t == JSON_OBJECT) {
            if (!read_fields(r, ret))
                return false;
        } else if (t == JSON_STRING || t == JSON_NUMBER) {
            if (ret->count < FIELDS_MAX)
                ret->items[ret->count++] = (field){ name, r->text };
        } else if (!json_skip(r)) {
            return false;
        }
    }
    return r->type == JSON_OBJECT_END;
}

/* ["1700000000000000000", "the line", {…}] whose JSON_ARRAY was read. */
static bool read_entry(json_reader *r, entry *ret)
{
    size_t index = 0;
    ret->time = ret->line = STR_EMPTY;
    ret->metadata.count = 0;
    for (; json_next_item(r); index++) {
        if (index == 0)
            ret->time = r->text;
        else if (index == 1)
            ret->line = r->text;
        else if (r->type == JSON_OBJECT && !read_fields(r, &ret->metadata))
            return false;
        else if (r->type != JSON_OBJECT_END && !json_skip(r))
            return false;
    }
    return index >= 2 || json_refuse(r, "an entry has a time and a line");
}

/* ---- writing ---- */

static const char *const no_color = "\x1b[0m";

static void styled(const tail_style *style, buf *out, const char *color, str text)
{
    if (style->color && color) {
        buf_str(out, str_c(color));
        buf_str(out, text);
        buf_str(out, str_c(no_color));
    } else {
        buf_str(out, text);
    }
}

/* Without what could move the cursor or change colours. */
static void add_printable(buf *out, str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buf_char(out, (c < ' ' && c != '\n' && c != '\t') || c == 127 ? '?' : (char)c);
    }
}

static const char *level_color(str level)
{
    static const struct {
        const char *start, *color;
    } colors[] = {
        { "fatal", "\x1b[1;31m" }, { "crit", "\x1b[1;31m" }, { "err", "\x1b[31m" },
        { "warn", "\x1b[33m" },    { "info", "\x1b[32m" },   { "debug", "\x1b[34m" },
        { "trace", "\x1b[34m" },
    };
    for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
        str start = str_c(colors[i].start);
        if (str_eq_nocase(str_slice(level, 0, start.len), start))
            return colors[i].color;
    }
    return NULL;
}

static void add_time(const tail_style *style, buf *out, str nanoseconds)
{
    int64_t ns = 0;
    char text[40];
    struct tm tm;
    if (!str_to_i64(nanoseconds, &ns))
        return;
    time_t seconds = (time_t)(ns / NS_PER_S);
    buf stamp;
    buf_init(&stamp, 0);
    if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%F %T", &tm))
        buf_fmt(&stamp, "%s.%03d", text, (int)(ns % NS_PER_S / NS_PER_MS));
    styled(style, out, "\x1b[2m", buf_view(&stamp));
    buf_done(&stamp);
}

static void add_fields(const tail_style *style, buf *out, const fields *f)
{
    static const char *const shown[] = { "level", "detected_level", "service_name", "service" };
    for (size_t i = 0; i < f->count; i++) {
        bool skip = f->items[i].text.len == 0;
        for (size_t k = 0; k < ARRAY_LEN(shown); k++)
            skip |= str_is(f->items[i].name, shown[k]);
        if (skip)
            continue;
        buf text;
        buf_init(&text, 0);
        add_printable(&text, f->items[i].name);
        buf_char(&text, '=');
        add_printable(&text, f->items[i].text);
        buf_char(out, ' ');
        styled(style, out, "\x1b[2m", buf_view(&text));
        buf_done(&text);
    }
}

static void print_line(const tail_style *style, buf *out, const fields *labels, const entry *e)
{
    str level = find(labels, "level"), service = find(labels, "service_name");
    char padded[8];
    if (!level.len)
        level = find(&e->metadata, "level");
    if (!level.len)
        level = find(labels, "detected_level");
    if (!service.len)
        service = find(labels, "service");
    add_time(style, out, e->time);
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, level.ptr, MIN(level.len, (size_t)5));
    buf_char(out, ' ');
    styled(style, out, level_color(level), str_n(padded, 5));
    if (service.len) {
        buf_char(out, ' ');
        styled(style, out, "\x1b[36m", service);
    }
    buf_char(out, ' ');
    add_printable(out, e->line);
    add_fields(style, out, &e->metadata);
    add_fields(style, out, labels);
    buf_char(out, '\n');
}

static void json_fields(json_writer *w, const char *key, const fields *f)
{
    json_key(w, str_c(key));
    json_begin_object(w);
    for (size_t i = 0; i < f->count; i++) {
        json_key(w, f->items[i].name);
        json_str(w, f->items[i].text);
    }
    json_end_object(w);
}

static void print_json(buf *out, const fields *labels, const entry *e)
{
    json_writer w = json_write(out);
    int64_t ns = 0;
    json_begin_object(&w);
    if (str_to_i64(e->time, &ns)) {
        buf stamp;
        buf_init(&stamp, 0);
        clock_format_rfc3339(&stamp, ns, 9);
        json_key(&w, STR("time"));
        json_str(&w, buf_view(&stamp));
        buf_done(&stamp);
    }
    json_key(&w, STR("line"));
    json_str(&w, e->line);
    json_fields(&w, "labels", labels);
    json_fields(&w, "metadata", &e->metadata);
    json_end_object(&w);
    buf_char(out, '\n');
}

/* ---- a message ---- */

/* {"stream":{…},"values":[…]}: the labels may come after the values, so they are read first. */
static bool print_stream(const tail_style *style, json_reader *r, buf *out)
{
    fields labels = { .count = 0 };
    json_reader values = { .end = NULL };
    bool has_values = false;
    str name;
    entry e;
    while (json_next_key(r, &name)) {
        if (str_is(name, "values")) {
            values = *r;
            has_values = true;
        }
        if (!str_is(name, "stream")) {
            if (!json_skip_next(r))
                return false;
        } else if (json_next(r) != JSON_OBJECT || !read_fields(r, &labels)) {
            return json_refuse(r, "\"stream\" must be an object");
        }
    }
    if (!has_values || r->type != JSON_OBJECT_END)
        return json_refuse(r, "a stream has \"values\"");
    if (json_next(&values) != JSON_ARRAY)
        return json_refuse(&values, "\"values\" must be an array");
    while (json_next_item(&values)) {
        if (values.type != JSON_ARRAY || !read_entry(&values, &e))
            return json_refuse(r, "an entry must be an array of time and line");
        if (style->json)
            print_json(out, &labels, &e);
        else
            print_line(style, out, &labels, &e);
    }
    return true;
}

status tail_print(const tail_style *style, str message, buf *out, uint64_t *ret_dropped, error *err)
{
    arena memory;
    json_reader r;
    str name;
    bool ok = true;
    arena_init(&memory, MiB(32));
    json_read(&r, message, &memory, 0);
    ok = json_next(&r) == JSON_OBJECT;
    while (ok && json_next_key(&r, &name)) {
        bool streams = str_is(name, "streams"), dropped = str_is(name, "dropped_entries");
        if ((!streams && !dropped) || json_next(&r) != JSON_ARRAY) {
            ok = streams || dropped ? json_skip(&r) : json_skip_next(&r);
            continue;
        }
        while (ok && json_next_item(&r)) {
            *ret_dropped += dropped;
            ok = streams ? r.type == JSON_OBJECT && print_stream(style, &r, out) : json_skip(&r);
        }
    }
    status st = json_fail_status(&r, err, "a message of the server");
    if (st == STATUS_OK && !ok)
        st = fail(err, STATUS_INVALID, "a message of the server is not Loki's tail format");
    arena_done(&memory);
    return st;
}
