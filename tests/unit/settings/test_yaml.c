// SPDX-License-Identifier: Apache-2.0
/* YAML trees: scalars and their types, places, merges; units of options; names that are near. */
#include "support.h"

#include "codec/json_value.h"
#include "settings/option_read.h"

#include <math.h>

static arena memory;

static yaml_node *parse(const char *text)
{
    yaml_document doc;
    yaml_error err;
    if (yaml_parse(&memory, str_c(text), &doc, &err) != STATUS_OK)
        fail_msg("%s", err.error.message);
    return doc.root;
}

static void scalars_have_yamls_types(void **state)
{
    static const struct {
        const char *text;
        value_type type;
        double number;
    } rows[] = {
        { "~", VALUE_EMPTY, 0 },
        { "null", VALUE_EMPTY, 0 },
        { "true", VALUE_BOOL, 1 },
        { "False", VALUE_BOOL, 0 },
        { "yes", VALUE_STR, 0 },
        { "'true'", VALUE_STR, 0 },
        { "0", VALUE_I64, 0 },
        { "-12", VALUE_I64, -12 },
        { "+7", VALUE_I64, 7 },
        { "0x1F", VALUE_I64, 31 },
        { "0o17", VALUE_I64, 15 },
        { "010", VALUE_I64, 10 },
        { "1.5", VALUE_F64, 1.5 },
        { "-1e3", VALUE_F64, -1000 },
        { ".inf", VALUE_F64, INFINITY },
        { "inf", VALUE_STR, 0 },
        { "nan", VALUE_STR, 0 },
        { "0x", VALUE_STR, 0 },
        { "1_000", VALUE_STR, 0 },
        { "1.2.3", VALUE_STR, 0 },
        { "!!str 5", VALUE_STR, 0 },
        { "\"a\\u263ab\"", VALUE_STR, 0 },
        { "9223372036854775807", VALUE_I64, 9223372036854775807.0 },
        { "9223372036854775808", VALUE_F64, 9223372036854775808.0 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        value v;
        error err;
        uint32_t nodes = 1;
        assert_int_equal(yaml_to_value(&memory, parse(rows[i].text), &v, &nodes, &err), STATUS_OK);
        if (v.type != rows[i].type)
            fail_msg("%s is of type %d", rows[i].text, (int)v.type);
        double got = v.type == VALUE_BOOL  ? v.b
                     : v.type == VALUE_I64 ? (double)v.i64
                     : v.type == VALUE_F64 ? v.f64
                                           : 0;
        assert_true(got == rows[i].number);
    }
}

static void texts_are_whole(void **state)
{
    char many[2000] = "'";
    (void)state;
    for (size_t i = 1; i < 1001; i += 2)
        memcpy(many + i, "''", 3);
    memcpy(many + 1001, "'", 2);
    assert_int_equal(parse(many)->text.len, 500);
    static const struct {
        const char *yaml, *text;
    } quoted[] = {
        { "''", "" },
        { "'a'", "a" },
        { "''''", "'" },
        { "'a''''b'", "a''b" },
        { "'a\n  b'", "a b" },
        { "'a \t\n\n \n  b'", "a\n\nb" },
        { "'a\r\n\r\n b'", "a\nb" },
        { "' a '", " a " },
        { "'\n a\n '", " a " },
        { "'a\\nb'", "a\\nb" },
        { "\xef\xbb\xbf'b''c'", "b'c" },
        { "[ 'x' , 'é''y' ]", NULL },
        { "\"a\\n\\\n  b\"", "a\nb" },
    };
    for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
        const yaml_node *n = parse(quoted[i].yaml);
        assert_str(quoted[i].text ? n->text : n->items[1]->text,
                   str_c(quoted[i].text ? quoted[i].text : "é'y"));
    }
    assert_str(parse("|\n  a\n  b\n")->text, STR("a\nb\n"));
    assert_str(parse(">-\n  a\n  b\n")->text, STR("a b"));
    assert_str(parse("a\n  b")->text, STR("a b"));
    assert_str(parse("\xef\xbb\xbf"
                     "a")
                   ->text,
               STR("a"));
}

static void nodes_know_their_places(void **state)
{
    (void)state;
    const yaml_node *root = parse("a:\n  - b: 1\n    \"c\": 'd'\n  -\ne: &x {f: }\ng: *x\n");
    const yaml_node *d = option_find_path(root, "a[0].c");
    assert_int_equal(d->line, 3);
    assert_int_equal(d->column, 10);
    assert_ptr_equal(option_find_path(root, "g"), option_find_path(root, "e"));
    assert_int_equal(option_find_path(root, "e.f")->line, 5);
    /* A path that goes on into nothing stops where it can. */
    assert_ptr_equal(option_find_path(root, "a[0].c.x[3]"), d);
    assert_ptr_equal(option_find_path(root, "nothing"), root);
}

static void own_keys_win_over_merged_ones(void **state)
{
    (void)state;
    const yaml_node *root = parse("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\n"
                                  "c: {<<: [*a, *b], x: 0}\nd: {<<: *a, '<<': 5}\n");
    const yaml_node *c = yaml_get(root, STR("c")), *d = yaml_get(root, STR("d"));
    assert_int_equal(c->count, 3);
    assert_str(yaml_get(c, STR("x"))->text, STR("0"));
    assert_str(yaml_get(c, STR("y"))->text, STR("2"));
    assert_str(yaml_get(c, STR("z"))->text, STR("4"));
    assert_str(yaml_get(d, STR("<<"))->text, STR("5"));
}

static void durations_and_sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1: none */
    } durations[] = {
        { "0", 0 },
        { "5s", 5000000000 },
        { "1m30s", 90000000000 },
        { "1.5h", 5400000000000 },
        { "200ms", 200000000 },
        { "10us", 10000 },
        { "3µs", 3000 },
        { "1d", 86400000000000 },
        { "1w", 604800000000000 },
        { "5", -1 },
        { "", -1 },
        { "s", -1 },
        { "5 s", -1 },
        { "5x", -1 },
        { "1000000000y", -1 },
    };
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {
        { "1kb", 1000 },   { "1KiB", 1024 }, { "20MiB", 20 << 20 }, { "1.5 GB", 1500000000 },
        { "3 MiB x", -1 }, { "12", -1 },     { "MiB", -1 },         { "99999999999TB", -1 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        int64_t ns = -1;
        assert_int_equal(option_parse_duration(str_c(durations[i].text), &ns),
                         durations[i].ns >= 0);
        if (ns != durations[i].ns)
            fail_msg("%s is %lld", durations[i].text, (long long)ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        int64_t bytes = -1;
        assert_int_equal(option_parse_size(str_c(sizes[i].text), &bytes), sizes[i].bytes >= 0);
        if (bytes != sizes[i].bytes)
            fail_msg("%s is %lld", sizes[i].text, (long long)bytes);
    }
}

static void the_nearest_name_is_found(void **state)
{
    static const char *const names[] = { "endpoint", "tls", "timeout", "send_batch_size" };
    (void)state;
    assert_string_equal(option_nearest(STR("endpont"), names, 4), "endpoint");
    assert_string_equal(option_nearest(STR("enpdoint"), names, 4), "endpoint");
    assert_string_equal(option_nearest(STR("tsl"), names, 4), "tls");
    assert_string_equal(option_nearest(STR("batch_size"), names, 4), "send_batch_size");
    assert_null(option_nearest(STR("compression"), names, 4));
    assert_null(option_nearest(STR(""), names, 4));
}

static int start(void **state)
{
    (void)state;
    arena_init(&memory, MiB(16));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

static unsigned below(const void *user, unsigned state, str key)
{
    return state || str_is(key, user);
}

static str hidden(const void *user, unsigned state, const yaml_node *n)
{
    (void)user;
    (void)n;
    return state ? STR("<secret>") : STR_EMPTY;
}

static str show(const yaml_node *root, const char *secret, bool as_written)
{
    buf out;
    const yaml_cover cover = { below, hidden, secret, as_written };
    buf_init(&out, MiB(1));
    yaml_show(&out, root, &cover);
    assert_false(out.failed);
    str copy = arena_str(&memory, buf_view(&out));
    buf_done(&out);
    return copy;
}

static str json_of(const yaml_node *root)
{
    value v;
    buf out;
    uint32_t nodes = 1000;
    buf_init(&out, MiB(1));
    json_writer w = json_write(&out);
    assert_int_equal(yaml_to_value(&memory, root, &v, &nodes, NULL), STATUS_OK);
    value_to_json(&v, &w);
    str copy = arena_str(&memory, buf_view(&out));
    buf_done(&out);
    return copy;
}

static void a_tree_that_is_shown_reads_the_same(void **state)
{
    (void)state;
    static const char text[] =
        "a: [1, '1', \"x: y\", [], [[p, q], {r: s}], ~, '']\n"
        "'b: c': {deep: {deeper: [{k: v, l: [m]}, n]}, none: }\n"
        "block: |\n  two\n  lines # no comment\n"
        "quoted: \"\\u00e9 \\t \\\" \\\\\"\nempty: {}\nurl: http://a:1/b#c\n";
    str once = show(parse(text), "", false);
    yaml_node *again = parse(once.ptr);
    assert_true(str_eq(show(again, "", false), once));
    assert_string_equal(json_of(again).ptr, json_of(parse(text)).ptr);
}

static void what_is_covered_is_not_shown(void **state)
{
    (void)state;
    yaml_node *root = parse("open: a\nsecret: [b, {c: d}]\nlast:\n  secret: e\n  f: ${env:G}\n");
    yaml_node *put = yaml_get(yaml_get(root, STR("last")), STR("f"));
    put->source = put->text;
    put->text = STR("[put]");
    assert_string_equal(show(root, "secret", true).ptr,
                        "open: a\nsecret:\n  - <secret>\n  - c: <secret>\n"
                        "last:\n  secret: <secret>\n  f: ${env:G}\n");
    assert_true(str_ends(show(root, "secret", false), STR("  f: \"[put]\"\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_yamls_types),
        cmocka_unit_test(texts_are_whole),
        cmocka_unit_test(nodes_know_their_places),
        cmocka_unit_test(own_keys_win_over_merged_ones),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(a_tree_that_is_shown_reads_the_same),
        cmocka_unit_test(what_is_covered_is_not_shown),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
