// SPDX-License-Identifier: Apache-2.0
/* Label sets, their groups, regular expressions and quoted texts. */
#include "support.h"

#include "query/groups.h"
#include "query/quote.h"
#include "query/regex.h"

static arena memory;

static int set_up(void **state)
{
    (void)state;
    arena_init(&memory, MiB(16));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

static str printed(labels l)
{
    buf text;
    buf_init(&text, 0);
    labels_print(&text, l);
    str copy = arena_str(&memory, buf_view(&text));
    buf_done(&text);
    return copy;
}

static void sorts_projects_and_prints(void **state)
{
    (void)state;
    label items[] = { { STR("job"), STR("a\"b") },
                      { STR("__name__"), STR("up") },
                      { STR("env"), STR("prod") },
                      { STR("gone"), STR("") },
                      { STR("x.y"), STR("1\n") } };
    labels l = labels_sort(items, ARRAY_LEN(items)), r;
    str names[] = { STR("env"), STR("job") };
    assert_str(printed(l), STR("up{env=\"prod\", job=\"a\\\"b\", \"x.y\"=\"1\\n\"}"));
    assert_str(labels_get(l, STR("env")), STR("prod"));
    assert_int_equal(labels_get(l, STR("none")).len, 0);
    assert_true(labels_keep(&memory, l, (name_list){ names, 2 }, &r));
    assert_str(printed(r), STR("{env=\"prod\", job=\"a\\\"b\"}"));
    assert_true(labels_drop(&memory, l, (name_list){ names, 2 }, &r));
    assert_str(printed(r), STR("up{\"x.y\"=\"1\\n\"}"));
    assert_true(labels_drop_metric(&memory, r, &r));
    assert_str(printed(r), STR("{\"x.y\"=\"1\\n\"}"));
    assert_true(labels_set(&memory, l, STR("env"), STR("test"), &r));
    assert_true(labels_set(&memory, r, STR("zone"), STR("eu"), &r));
    assert_true(labels_set(&memory, r, STR("x.y"), STR(""), &r));
    assert_str(printed(r), STR("up{env=\"test\", job=\"a\\\"b\", zone=\"eu\"}"));
    assert_str(printed((labels){ 0 }), STR("{}"));
}

static void drops_a_name_that_stands_behind_capitals(void **state)
{
    (void)state;
    label items[] = { { STR("Z"), STR("1") }, { STR("__name__"), STR("up") } };
    labels l = labels_sort(items, 2), r;
    assert_str(l.items[0].name, STR("Z"));
    assert_true(labels_drop_metric(&memory, l, &r));
    assert_str(printed(r), STR("{Z=\"1\"}"));
}

static void compares_and_hashes(void **state)
{
    (void)state;
    label a[] = { { STR("a"), STR("1") }, { STR("b"), STR("2") } };
    label b[] = { { STR("a"), STR("1") }, { STR("b"), STR("3") } };
    label c[] = { { STR("a1"), STR("") } };
    labels la = { a, 2 }, lb = { b, 2 }, shorter = { a, 1 }, lc = { c, 1 };
    assert_true(labels_eq(la, la) && !labels_eq(la, lb) && !labels_eq(la, shorter));
    assert_true(labels_cmp(la, lb) < 0 && labels_cmp(lb, la) > 0 && labels_cmp(shorter, la) < 0);
    assert_true(labels_hash(la) != labels_hash(lb) && labels_hash(shorter) != labels_hash(lc));
}

static void numbers_groups_in_order_of_appearance(void **state)
{
    (void)state;
    label_groups g;
    groups_init(&g, &memory);
    assert_int_equal(groups_find(&g, (labels){ 0 }), UINT32_MAX);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            label *l = ARENA_NEW(&memory, label);
            bool is_new;
            *l = (label){ STR("i"), arena_fmt(&memory, "%u", i) };
            assert_int_equal(groups_put(&g, (labels){ l, 1 }, &is_new), i);
            assert_true(is_new == (round == 0));
        }
    }
    assert_int_equal(g.count, 1000);
}

static void matches_whole_texts_or_parts(void **state)
{
    (void)state;
    error err;
    regex *whole, *part;
    bool matched;
    assert_ok(regex_compile(&whole, STR("a|bc"), REGEX_WHOLE, &memory, &err));
    assert_ok(regex_compile(&part, STR("a.b"), REGEX_SEARCH, &memory, &err));
    assert_ok(regex_match(whole, STR("bc"), &matched, &err));
    assert_true(matched);
    assert_ok(regex_match(whole, STR("abc"), &matched, &err));
    assert_false(matched);
    /* "." takes a newline, and bytes that are no UTF-8 break nothing. */
    assert_ok(regex_match(part, STR("xa\nbx"), &matched, &err));
    assert_true(matched);
    assert_ok(regex_match(part,
                          STR("\xff\xfe"
                              "a-b"),
                          &matched, &err));
    assert_true(matched);
    assert_ok(regex_match(part, STR_EMPTY, &matched, &err));
    assert_false(matched);
}

static void expands_groups_as_go_does(void **state)
{
    (void)state;
    error err;
    regex *re;
    bool matched;
    buf out;
    buf_init(&out, 0);
    str subject = STR("host-1:9100");
    assert_ok(
        regex_compile(&re, STR("(?P<host>[a-z]+)-(\\d+):(.*)(x)?"), REGEX_WHOLE, &memory, &err));
    assert_ok(regex_match(re, subject, &matched, &err));
    assert_true(matched);
    regex_expand(re, subject, STR("$1 ${2} $host ${host}s $$ $9 [$4] $none. $"), &out);
    assert_str(buf_view(&out), STR("host 1 host hosts $  [] . $"));
    buf_done(&out);
}

static void a_regular_expression_costs_bounded_time(void **state)
{
    (void)state;
    error err;
    regex *re;
    bool matched;
    assert_ok(regex_compile(&re, STR("(a+)+b"), REGEX_WHOLE, &memory, &err));
    str subject = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac");
    status st = regex_match(re, subject, &matched, &err);
    assert_true(st == STATUS_LIMIT || (st == STATUS_OK && !matched));
    assert_int_equal(regex_compile(&re, STR("a("), REGEX_WHOLE, &memory, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "error parsing regexp"));
}

static void reads_quoted_texts(void **state)
{
    (void)state;
    str text;
    size_t n;
    assert_null(unquote(STR("\"a\\tb\\x41\\u00e9\\101\" rest"), &memory, &text, &n));
    assert_str(text, STR("a\tbA\xc3\xa9"
                         "A"));
    assert_int_equal(n, 20);
    assert_null(unquote(STR("'it\\'s'"), &memory, &text, &n));
    assert_str(text, STR("it's"));
    assert_null(unquote(STR("`raw \\d`x"), &memory, &text, &n));
    assert_str(text, STR("raw \\d"));
    assert_int_equal(n, 8);
    assert_non_null(unquote(STR("\"open"), &memory, &text, &n));
    assert_non_null(unquote(STR("\"line\nbreak\""), &memory, &text, &n));
    assert_non_null(unquote(STR("\"\\ud800\""), &memory, &text, &n));
    assert_non_null(unquote(STR("\"\\xg0\""), &memory, &text, &n));
    assert_non_null(unquote(STR("\"trailing\\"), &memory, &text, &n));
    assert_non_null(unquote(STR("`open"), &memory, &text, &n));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sorts_projects_and_prints),
        TEST(drops_a_name_that_stands_behind_capitals),
        TEST(compares_and_hashes),
        TEST(numbers_groups_in_order_of_appearance),
        TEST(matches_whole_texts_or_parts),
        TEST(expands_groups_as_go_does),
        TEST(a_regular_expression_costs_bounded_time),
        TEST(reads_quoted_texts),
    };
    return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
