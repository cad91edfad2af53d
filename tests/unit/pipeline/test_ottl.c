// SPDX-License-Identifier: Apache-2.0
/* OTTL: every line of tests/pipeline/ottl.test, the limits, and several threads at once. */
#include "support.h"
#include "unit/pipeline/ottl_rows.h"

#include "base/file.h"

#include <pthread.h>
#include <stdio.h>

static const char *const contexts[OTTL_CONTEXTS] = { "resource", "scope",     "span", "spanevent",
                                                     "metric",   "datapoint", "log" };

/* What a line gives, as it would be written behind "=>". */
static void outcome(const ottl_rows *rows, ottl_context c, str condition, char *ret, size_t size)
{
    error err;
    ottl *o = NULL;
    if (ottl_parse(&o, c, condition, &err) != STATUS_OK) {
        snprintf(ret, size, "refused: %s", err.message);
        return;
    }
    bool truth = false;
    arena scratch;
    arena_init(&scratch, MiB(1));
    ottl_row row = ottl_rows_of(rows, c);
    if (ottl_test(o, &row, &scratch, &truth, &err) != STATUS_OK)
        snprintf(ret, size, "error: %s", err.message);
    else
        snprintf(ret, size, "%s", truth ? "true" : "false");
    arena_done(&scratch);
    ottl_free(o);
}

static bool agrees(str expected, const char *got)
{
    static const char *const kinds[] = { "error: ", "refused: " };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(expected, str_c(kinds[i])))
            return str_starts(str_c(got), str_c(kinds[i])) &&
                   str_contains(str_c(got), str_slice(expected, strlen(kinds[i]), expected.len));
    return str_is(expected, got);
}

static bool run_line(const ottl_rows *rows, str line, unsigned number)
{
    char got[600];
    size_t arrow = str_find(line, STR(" => "));
    for (size_t next;
         (next = str_find(str_slice(line, arrow + 1, line.len), STR(" => "))) != SIZE_MAX;)
        arrow += 1 + next;
    str rest, context = str_cut(str_slice(line, 0, arrow), ' ', &rest);
    str expected = str_slice(line, arrow + 4, line.len);
    for (unsigned c = 0; c < OTTL_CONTEXTS; c++) {
        if (!str_is(context, contexts[c]))
            continue;
        outcome(rows, (ottl_context)c, rest, got, sizeof(got));
        if (agrees(expected, got))
            return true;
        fprintf(stderr, "ottl.test:%u: %.*s\n  wanted %.*s\n  got    %s\n", number, STR_ARG(rest),
                STR_ARG(expected), got);
        return false;
    }
    fprintf(stderr, "ottl.test:%u: no context \"%.*s\"\n", number, STR_ARG(context));
    return false;
}

static void ottl_does_what_the_script_says(void **state)
{
    (void)state;
    buf text;
    error err;
    ottl_rows rows;
    ottl_rows_init(&rows);
    buf_init(&text, MiB(1));
    assert_int_equal(file_read(SOURCE_DIR "/tests/pipeline/ottl.test", &text, &err), STATUS_OK);
    str rest = buf_view(&text);
    unsigned number = 0, wrong = 0, lines = 0;
    while (rest.len) {
        str line = str_cut(rest, '\n', &rest);
        number++;
        if (!line.len || line.ptr[0] == '#')
            continue;
        lines++;
        wrong += !run_line(&rows, line, number);
    }
    buf_done(&text);
    ottl_rows_done(&rows);
    assert_true(lines > 150);
    assert_int_equal(wrong, 0);
}

static void ottl_has_limits(void **state)
{
    (void)state;
    error err;
    ottl *o = NULL;
    buf text;
    buf_init(&text, 0);
    for (int i = 0; i < 100; i++)
        buf_lit(&text, "(");
    assert_int_equal(ottl_parse(&o, OTTL_SPAN, buf_view(&text), &err), STATUS_INVALID);
    assert_true(str_contains(str_c(err.message), STR("levels deep")));
    buf_clear(&text);
    buf_lit(&text, "true");
    while (text.len < KiB(17))
        buf_lit(&text, " or true");
    assert_int_equal(ottl_parse(&o, OTTL_SPAN, buf_view(&text), &err), STATUS_INVALID);
    assert_true(str_contains(str_c(err.message), STR("16384 bytes")));
    buf_clear(&text);
    buf_lit(&text, "true");
    while (text.len < KiB(15))
        buf_lit(&text, " or not true");
    assert_int_equal(ottl_parse(&o, OTTL_SPAN, buf_view(&text), &err), STATUS_OK);
    ottl_free(o);
    buf_done(&text);
}

static void a_pattern_that_explodes_is_an_error(void **state)
{
    (void)state;
    error err;
    ottl *o = NULL;
    bool truth;
    arena scratch;
    ottl_rows rows;
    ottl_rows_init(&rows);
    arena_init(&scratch, MiB(1));
    rows.spans.spans.name[0] = STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    str text = STR("IsMatch(name, \"^(a|a)*$\")");
    assert_int_equal(ottl_parse(&o, OTTL_SPAN, text, &err), STATUS_OK);
    ottl_row row = ottl_rows_of(&rows, OTTL_SPAN);
    assert_int_equal(ottl_test(o, &row, &scratch, &truth, &err), STATUS_INVALID);
    assert_true(str_contains(str_c(err.message), STR("too many steps")));
    ottl_free(o);
    arena_done(&scratch);
    ottl_rows_done(&rows);
}

typedef struct {
    const ottl *o;
    const ottl_rows *rows;
    unsigned wrong;
} looker;

static void *look(void *user)
{
    looker *l = user;
    arena scratch;
    arena_init(&scratch, MiB(1));
    for (int i = 0; i < 2000; i++) {
        bool truth = false;
        ottl_row row = ottl_rows_of(l->rows, OTTL_SPAN);
        arena_clear(&scratch);
        if (ottl_test(l->o, &row, &scratch, &truth, NULL) != STATUS_OK || !truth)
            l->wrong++;
    }
    arena_done(&scratch);
    return NULL;
}

static void conditions_serve_several_threads(void **state)
{
    (void)state;
    error err;
    ottl *o = NULL;
    ottl_rows rows;
    ottl_rows_init(&rows);
    str text =
        STR("IsMatch(name, \"^G.*cart$\") and IsMatch(Concat([kind.string, name], \"\"), \"S\")");
    assert_int_equal(ottl_parse(&o, OTTL_SPAN, text, &err), STATUS_OK);
    looker lookers[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        lookers[i] = (looker){ o, &rows, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, look, &lookers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(lookers[i].wrong, 0);
    }
    ottl_free(o);
    ottl_rows_done(&rows);
}

static void lists_name_the_condition_at_fault(void **state)
{
    (void)state;
    error err;
    char where[64] = "";
    str texts[] = { STR("true"), STR("name == 1"), STR("nam == 1") };
    text_list list = { texts, 3 };
    assert_int_equal(ottl_list_check(OTTL_SPAN, &list, "traces.span", where, sizeof(where), &err),
                     STATUS_INVALID);
    assert_string_equal(where, "traces.span[2]");
    list.count = 2;
    assert_int_equal(ottl_list_check(OTTL_SPAN, &list, "traces.span", where, sizeof(where), &err),
                     STATUS_OK);
}

static void error_modes_decide_what_a_failure_means(void **state)
{
    (void)state;
    error err;
    ottl_rows rows;
    ottl_rows_init(&rows);
    arena scratch;
    arena_init(&scratch, MiB(1));
    str texts[] = { STR("1 / 0 == 1"), STR("name == \"GET /cart\"") };
    text_list list = { texts, 2 };
    ottl_list parsed;
    uint32_t index;
    assert_int_equal(ottl_list_parse(&parsed, OTTL_SPAN, &list, &index, &err), STATUS_OK);
    ottl_row row = ottl_rows_of(&rows, OTTL_SPAN);
    bool any = false;
    uint64_t errors = 0;
    assert_int_equal(ottl_any(&parsed, &row, OTTL_PROPAGATE, &scratch, &any, &errors, &err),
                     STATUS_INVALID);
    assert_int_equal(ottl_any(&parsed, &row, OTTL_IGNORE, &scratch, &any, &errors, &err),
                     STATUS_OK);
    assert_true(any);
    assert_int_equal(errors, 2);
    ottl_list_free(&parsed);
    arena_done(&scratch);
    ottl_rows_done(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ottl_does_what_the_script_says),
        cmocka_unit_test(ottl_has_limits),
        cmocka_unit_test(a_pattern_that_explodes_is_an_error),
        cmocka_unit_test(conditions_serve_several_threads),
        cmocka_unit_test(lists_name_the_condition_at_fault),
        cmocka_unit_test(error_modes_decide_what_a_failure_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
