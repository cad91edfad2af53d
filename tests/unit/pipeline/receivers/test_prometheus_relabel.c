// SPDX-License-Identifier: Apache-2.0
/* Relabel rules: what each action makes of a set of labels, written as "a=1 b=2". */
#include "tests/support.h"

#include "pipeline/receivers/prometheus_relabel.h"

static error err;

typedef struct {
    const char *name; /* of the case */
    relabel_settings rules[3];
    str sources[3][3];          /* by rule */
    const char *before, *after; /* NULL: dropped */
} row;

#define S STR_INIT
#define RULE(action_, regex_, target_, replacement_, ...) \
    { \
        .action = RELABEL_##action_, .regex = S(regex_), .target_label = S(target_), \
        .replacement = S(replacement_), .separator = S(";"), __VA_ARGS__ \
    }

static const row rows[] = {
    { "a group goes to another label",
      { RULE(REPLACE, "f(.*)", "d", "ch${1}-ch${1}") },
      { { S("a") } },
      "a=foo b=bar c=baz",
      "a=foo b=bar c=baz d=choo-choo" },
    { "sources are joined, and the expression must match all of it",
      { RULE(REPLACE, "f(.*);(.*)r", "a", "b${1}${2}m"), RULE(REPLACE, "ba", "b", "x") },
      { { S("a"), S("b") }, { S("b") } },
      "a=foo b=bar",
      "a=boobam b=bar" },
    { "what matches is dropped", { RULE(DROP, ".*o.*", "", "$1") }, { { S("a") } }, "a=foo", NULL },
    { "a part that matches is not enough to drop",
      { RULE(DROP, "f", "", "$1") },
      { { S("a") } },
      "a=foo",
      "a=foo" },
    { "what does not match is not kept",
      { RULE(KEEP, "no-match", "", "$1") },
      { { S("a") } },
      "a=foo",
      NULL },
    { "what matches is kept", { RULE(KEEP, "f|foo", "", "$1") }, { { S("a") } }, "a=foo", "a=foo" },
    { "no match, no replacement",
      { RULE(REPLACE, "b", "b", "x") },
      { { S("a") } },
      "a=foo",
      "a=foo" },
    { "an empty replacement deletes",
      { RULE(REPLACE, "(f).*", "b", "") },
      { { S("a") } },
      "a=foo b=bar",
      "a=foo" },
    { "groups that did not take part are empty, so the label goes",
      { RULE(REPLACE, "(x)?foo", "b", "$1") },
      { { S("a") } },
      "a=foo b=bar",
      "a=foo" },
    { "the target may have groups, too",
      { RULE(REPLACE, "some-([^-]+)-([^,]+)", "${1}", "${2}") },
      { { S("a") } },
      "a=some-name-value",
      "a=some-name-value name=value" },
    { "a name of letters behind $ is taken whole",
      { RULE(REPLACE, "(.*)", "b", "$1x-$$-${1}x-$") },
      { { S("a") } },
      "a=v",
      "a=v b=-$-vx-$" },
    { "named groups",
      { RULE(REPLACE, "(?P<first>.).*", "b", "${first}") },
      { { S("a") } },
      "a=xyz",
      "a=xyz b=x" },
    { "absent sources are empty, a fixed text is put",
      { RULE(REPLACE, "(.*)", "b", "fixed") },
      { { S("none") } },
      "a=1",
      "a=1 b=fixed" },
    { "the hash of Prometheus",
      { RULE(HASHMOD, "(.*)", "d", "$1", .modulus = 1000) },
      { { S("c") } },
      "a=foo b=bar c=baz",
      "a=foo b=bar c=baz d=976" },
    { "the hash of a text with a line end",
      { RULE(HASHMOD, "(.*)", "d", "$1", .modulus = 1000) },
      { { S("a") } },
      "a=foo\nbar",
      "a=foo\nbar d=734" },
    { "names that match are copied",
      { RULE(LABELMAP, "(b.*)", "", "${1}_new") },
      { { { 0 } } },
      "a=foo b1=bar b2=baz",
      "a=foo b1=bar b1_new=bar b2=baz b2_new=baz" },
    { "names by groups",
      { RULE(LABELMAP, "__meta_(my_(.*))", "", "$1") },
      { { { 0 } } },
      "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc",
      "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc my_bar=aaa my_baz=bbb" },
    { "names are dropped",
      { RULE(LABELDROP, "b.*", "", "$1") },
      { { { 0 } } },
      "a=foo b1=bar b2=x",
      "a=foo" },
    { "names are kept",
      { RULE(LABELKEEP, "b.*", "", "$1") },
      { { { 0 } } },
      "a=foo b1=bar b2=x",
      "b1=bar b2=x" },
    { "equal ones are kept",
      { RULE(KEEPEQUAL, "(.*)", "b", "$1") },
      { { S("a") } },
      "a=x b=x",
      "a=x b=x" },
    { "others are not", { RULE(KEEPEQUAL, "(.*)", "b", "$1") }, { { S("a") } }, "a=x b=y", NULL },
    { "equal ones are dropped",
      { RULE(DROPEQUAL, "(.*)", "b", "$1") },
      { { S("a") } },
      "a=x b=x",
      NULL },
    { "others stay", { RULE(DROPEQUAL, "(.*)", "b", "$1") }, { { S("a") } }, "a=x b=y", "a=x b=y" },
    { "letters, of any alphabet",
      { RULE(LOWERCASE, "(.*)", "l", "$1"), RULE(UPPERCASE, "(.*)", "u", "$1") },
      { { S("a") }, { S("a") } },
      "a=aB\xc3\x84\xc3\xa9",
      "a=aB\xc3\x84\xc3\xa9 l=ab\xc3\xa4\xc3\xa9 "
      "u=AB\xc3\x84\xc3\x89" },
};

static void set_of(label_set *s, const char *text)
{
    for (str rest = str_c(text); rest.len;) {
        str value, pair = str_cut(rest, ' ', &rest);
        str name = str_cut(pair, '=', &value);
        label_set_put(s, name, value);
    }
}

static str text_of(label_set *s)
{
    buf out;
    label_set_sort(s);
    buf_init(&out, 0);
    for (uint32_t i = 0; i < s->count; i++)
        buf_fmt(&out, "%s%.*s=%.*s", i ? " " : "", STR_ARG(s->items[i].name),
                STR_ARG(s->items[i].value));
    str copy = arena_str(s->arena, buf_view(&out));
    buf_done(&out);
    return copy;
}

static void rules_change_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        relabel_settings rules[3];
        uint32_t count = 0, wrong;
        const char *option;
        relabel_rules *r;
        arena memory;
        for (; count < 3 && rows[i].rules[count].regex.ptr; count++) {
            rules[count] = rows[i].rules[count];
            rules[count].source_labels.items = (str *)(uintptr_t)rows[i].sources[count];
            while (rules[count].source_labels.count < 3 &&
                   rows[i].sources[count][rules[count].source_labels.count].len)
                rules[count].source_labels.count++;
        }
        section_list list = { rules, count };
        assert_ok(relabel_rules_new(&r, &list, &wrong, &option, &err));
        arena_init(&memory, MiB(1));
        label_set set = { .arena = &memory };
        set_of(&set, rows[i].before);
        bool kept = relabel_apply(r, &set);
        if (kept != (rows[i].after != NULL))
            fail_msg("%s: %s", rows[i].name, kept ? "kept" : "dropped");
        if (kept && !str_is(text_of(&set), rows[i].after))
            fail_msg("%s: %.*s", rows[i].name, STR_ARG(text_of(&set)));
        arena_done(&memory);
        relabel_rules_free(r);
    }
}

static void wrong_rules_are_named(void **state)
{
    static const struct {
        relabel_settings rule;
        const char *option;
    } wrong_rows[] = {
        { RULE(REPLACE, "(", "a", "$1"), "regex" },
        { RULE(REPLACE, "(.*)", "", "$1"), "target_label" },
        { RULE(HASHMOD, "(.*)", "a", "$1"), "modulus" },
        { RULE(LABELDROP, "a", "b", "$1"), "action" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong_rows); i++) {
        relabel_settings rules[2] = { RULE(KEEP, "a", "", "$1"), wrong_rows[i].rule };
        section_list list = { rules, 2 };
        relabel_rules *r = NULL;
        uint32_t wrong = 9;
        const char *option = "";
        assert_int_equal(relabel_rules_new(&r, &list, &wrong, &option, &err), STATUS_INVALID);
        assert_int_equal(wrong, 1);
        assert_string_equal(option, wrong_rows[i].option);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_change_labels),
        cmocka_unit_test(wrong_rules_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
