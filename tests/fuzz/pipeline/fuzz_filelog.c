// SPDX-License-Identifier: Apache-2.0
/* Filelog: lines of files through the splitter and every kind of parser; and expressions, fields
 * and layouts, which come from configuration files. The first line of an input is the text of
 * those. */
#include "fuzz/fuzz.h"

#include "pipeline/receivers/filelog.h"

static filelog_operators *operators(void)
{
    static filelog_operator_settings list[] = {
        { .type = STR_INIT("json_parser"),
          .on_error = 2,
          .drop_ratio = 1,
          .has_timestamp = true,
          .timestamp = { STR_INIT("attributes.time"), STR_INIT("%Y-%m-%dT%H:%M:%S.%f%z"),
                         STR_INIT("UTC"), LAYOUT_STRPTIME },
          .has_severity = true,
          .severity = { .parse_from = STR_INIT("attributes.level") },
          .has_trace = true },
        { .type = STR_INIT("regex_parser"),
          .on_error = 2,
          .regex = STR_INIT("^(?P<a>\\S+) (?P<b>.*)$") },
        { .type = STR_INIT("key_value_parser"), .on_error = 2 },
        { .type = STR_INIT("time_parser"),
          .on_error = 2,
          .parse_from = STR_INIT("attributes.a"),
          .layout = STR_INIT("Mon Jan _2 15:04:05.000 2006 -0700"),
          .location = STR_INIT("UTC"),
          .layout_type = LAYOUT_GOTIME },
        { .type = STR_INIT("time_parser"),
          .on_error = 2,
          .parse_from = STR_INIT("attributes.b"),
          .layout = STR_INIT("s.ns"),
          .layout_type = LAYOUT_EPOCH },
        { .type = STR_INIT("flatten"), .on_error = 2, .field = STR_INIT("attributes.data") },
        { .type = STR_INIT("move"),
          .on_error = 2,
          .from = STR_INIT("attributes.message"),
          .to = STR_INIT("body.a.b") },
        { .type = STR_INIT("filter"), .expr = STR_INIT("attributes.a == 'x'"), .drop_ratio = 0.5 },
    };
    static filelog_operators *made;
    section_list all = { list, ARRAY_LEN(list) };
    char where[128];
    error err;
    if (!made && filelog_operators_new(&made, &all, where, sizeof(where), &err) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", where, err.message);
        abort();
    }
    return made;
}

static void settings_text(str text, const filelog_entry *e)
{
    filelog_expr *x;
    filelog_field f;
    filelog_layout l;
    error err;
    value v;
    int64_t ns;
    if (filelog_expr_parse(&x, text, &err) == STATUS_OK) {
        filelog_expr_true(x, e);
        filelog_expr_free(x);
    } else {
        FUZZ_CHECK(err.message[0]);
    }
    if (filelog_field_parse(&f, text, &err) == STATUS_OK)
        filelog_get(e, &f, &v);
    for (layout_type t = LAYOUT_STRPTIME; t <= LAYOUT_EPOCH; t++)
        if (filelog_layout_parse(&l, t, text, STR("UTC"), &err) == STATUS_OK &&
            filelog_time_parse(&l, &e->body, 1735862400000000000, &ns))
            FUZZ_CHECK(ns >= 0);
    filelog_path_matches(text, e->body.s);
}

static void each_entry(str data, bool flush)
{
    const filelog_splitter s = { .max = 64 };
    filelog_batch b;
    str text;
    size_t n, taken = 0;
    filelog_batch_init(&b);
    while ((n = filelog_split(&s, str_slice(data, taken, data.len), flush, &text)) > 0) {
        filelog_trouble trouble = { 0 };
        filelog_entry e = { .arena = &b.rows.arena, .start = taken, .end = taken + n };
        FUZZ_CHECK(n <= data.len - taken && text.len <= s.max);
        taken += n;
        e.body = VALUE_S(arena_utf8(&b.rows.arena, text));
        if (filelog_operators_run(operators(), 0, &e, 1735862400000000000, &trouble) == ENTRY_PASS)
            FUZZ_CHECK(filelog_batch_add(&b, &e));
    }
    FUZZ_CHECK(!flush || taken == data.len);
    filelog_batch_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str rest, first = str_cut(str_n(data, size), '\n', &rest);
    arena a;
    if (size > KiB(8)) /* what is quadratic in a pattern is bounded by max_log_size */
        return 0;
    arena_init(&a, MiB(16));
    filelog_entry e = { .arena = &a, .body = VALUE_S(rest) };
    settings_text(first, &e);
    each_entry(rest, size % 2);
    arena_done(&a);
    return 0;
}
