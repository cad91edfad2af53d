// SPDX-License-Identifier: Apache-2.0
/* Log lines out of any format text and any bytes in names, values and messages: the line is one
 * JSON object that our reader takes, on one line; for a console it has no byte that moves the
 * cursor. Input: the format, a newline, and then pieces ended by newlines: event, logger, key,
 * value, key, value, … */
#include "fuzz/fuzz.h"

#include "codec/json.h"
#include "codec/log_console.h"
#include "codec/log_format.h"

enum { MEMORY = 4 << 20 };

static void fill(batch *b, str rest)
{
    uint32_t row = batch_add_log(b, batch_add_scope(b, batch_add_resource(b)));
    FUZZ_CHECK(row != BATCH_FULL);
    attrs *list = &b->logs.attributes[row];
    uint32_t capacity = 0;
    b->logs.time_ns[row] = 1760300000123456789;
    b->logs.severity[row] = (uint8_t)(rest.len % 25);
    b->logs.event_name[row] = str_cut(rest, '\n', &rest);
    while (rest.len) {
        str key = str_cut(rest, '\n', &rest), text = str_cut(rest, '\n', &rest);
        value v = VALUE_S(text);
        if (key.len % 5 == 1)
            v = (value){ .type = VALUE_BYTES, .s = text };
        if (key.len % 7 == 1)
            v = (value){ .type = VALUE_F64, .f64 = (double)text.len / (double)(key.len % 2) };
        if (!attrs_append(&b->arena, list, &capacity, key, v))
            break;
    }
}

/* The whole line is one object. */
static void check_json(str line)
{
    arena memory;
    json_reader r;
    error err;
    int depth = 0;
    arena_init(&memory, MEMORY);
    FUZZ_CHECK(line.len > 2 && line.ptr[line.len - 1] == '\n');
    FUZZ_CHECK(str_find_char(line, '\n') == line.len - 1);
    FUZZ_CHECK(utf8_valid_prefix(line) == line.len);
    json_read(&r, line, &memory, 64);
    json_type t = json_next(&r);
    FUZZ_CHECK(t == JSON_OBJECT);
    for (; t != JSON_END && t != JSON_ERROR; t = json_next(&r))
        depth += t == JSON_OBJECT || t == JSON_ARRAY ? 1 : 0;
    FUZZ_CHECK(json_fail_status(&r, &err, "line") == STATUS_OK && depth > 0);
    arena_done(&memory);
}

static void check_console(str line)
{
    FUZZ_CHECK(line.len && line.ptr[line.len - 1] == '\n');
    for (size_t i = 0; i < line.len; i++)
        FUZZ_CHECK((uint8_t)line.ptr[i] >= 0x20 || line.ptr[i] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    batch b;
    buf out;
    error err;
    log_format format;
    str rest = str_n(data, size), spec = str_cut(rest, '\n', &rest);
    if (log_format_parse(&format, spec, &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
    batch_init(&b, SIGNAL_LOGS, MEMORY);
    buf_init(&out, 0);
    fill(&b, rest);
    const log_json_options options = { .schema = &format.schema, .with_hidden = size % 2 };
    log_json_row(&b, 0, &options, &out);
    check_json(buf_view(&out));
    buf_clear(&out);
    log_console_row(&b, 0, 3, false, &out);
    check_console(buf_view(&out));
    buf_done(&out);
    batch_done(&b);
    return 0;
}
