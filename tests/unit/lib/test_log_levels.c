// SPDX-License-Identifier: Apache-2.0
/* Loggers: their names in records, levels by name, changed while the program runs. */
#define SONDE_LOGGER "app.db"
#include "lib/log.h"
#include "tests/unit/lib/recorder_fixture.h"

static uint32_t logged(fixture *f)
{
    fixture_poll(f);
    return f->logs.logs.count;
}

static str logger_of(fixture *f, uint32_t row)
{
    return f->logs.scopes[f->logs.logs.scope[row]].name;
}

static int evaluations;
static int counted(void)
{
    return ++evaluations;
}

static void db_debug(void)
{
    sonde_debug("query", sonde_kv("n", counted()));
}

static int stop_all(void **state)
{
    log_configure(STR_EMPTY);
    return fixture_teardown(state);
}

static void a_record_names_its_logger(void **state)
{
    fixture *f = *state;
    sonde_info("file");
    sonde_log_to("http.access", SONDE_WARN, "other", sonde_kv("n", 1));
    sonde_log_as((sonde_str){ "dynamic", 7 }, SONDE_INFO, (sonde_str){ "plain", 5 }, NULL, 0);
    sonde_log(SONDE_INFO, (sonde_str){ "none", 4 }, NULL, 0);
    sonde_log_to("", SONDE_INFO, "none either");
    assert_int_equal(logged(f), 5);
    assert_text(logger_of(f, 0), "app.db");
    assert_text(logger_of(f, 1), "http.access");
    assert_int_equal(f->logs.logs.severity[1], SONDE_WARN);
    assert_text(logger_of(f, 2), "dynamic");
    assert_text(f->logs.logs.event_name[2], "plain");
    assert_text(logger_of(f, 3), "sonde");
    assert_text(logger_of(f, 4), "sonde");
}

static void a_level_holds_for_a_logger_and_those_below(void **state)
{
    fixture *f = *state;
    evaluations = 0;
    db_debug();
    assert_int_equal(logged(f), 0);
    assert_int_equal(sonde_logger_level_set("app", SONDE_DEBUG), 0);
    db_debug();
    sonde_log_to("app", SONDE_DEBUG, "yes");
    sonde_log_to("application", SONDE_DEBUG, "no");
    sonde_log_to("http", SONDE_DEBUG, "no");
    assert_int_equal(logged(f), 2);
    assert_int_equal(evaluations, 1);
    assert_true(sonde_log_enabled(SONDE_DEBUG));
    /* The longer name wins. */
    assert_int_equal(sonde_logger_level_set("app.db", SONDE_ERROR), 0);
    db_debug();
    sonde_warn("no");
    sonde_error("yes");
    sonde_log_to("app.dbx", SONDE_DEBUG, "yes");
    assert_int_equal(logged(f), 2);
    assert_false(sonde_log_enabled(SONDE_WARN));
    assert_int_equal(sonde_logger_level_set("app.db", (sonde_level)0), 0);
    db_debug();
    assert_int_equal(logged(f), 1);
    assert_int_equal(evaluations, 2);
}

static void the_programs_level_holds_for_the_others(void **state)
{
    fixture *f = *state;
    assert_int_equal(sonde_logger_level_set("app.db", SONDE_WARN), 0);
    sonde_log_level_set(SONDE_DEBUG);
    sonde_info("no");
    sonde_log_to("other", SONDE_DEBUG, "yes");
    assert_int_equal(logged(f), 1);
    assert_int_equal(sonde_logger_level_set("", SONDE_FATAL), 0);
    sonde_log_to("other", SONDE_ERROR, "no");
    sonde_warn("yes");
    assert_int_equal(logged(f), 1);
    assert_int_equal(sonde_logger_level("other"), SONDE_FATAL);
    assert_int_equal(sonde_logger_level("app.db.pool"), SONDE_WARN);
}

static void levels_come_from_a_text(void **state)
{
    fixture *f = *state;
    log_configure(STR(" app.db = DEBUG ,http=warn,, bad, x=loud,=info"));
    db_debug();
    sonde_log_to("http.access", SONDE_INFO, "no");
    assert_int_equal(logged(f), 1);
    log_configure(STR_EMPTY);
    db_debug();
    sonde_log_to("http.access", SONDE_INFO, "yes");
    assert_int_equal(logged(f), 1);
}

static void what_cannot_be_set_is_refused(void **state UNUSED)
{
    char name[80], number[16];
    memset(name, 'x', sizeof(name));
    name[64] = 0;
    assert_int_equal(sonde_logger_level_set(name, SONDE_WARN), -1);
    assert_int_equal(sonde_logger_level_set("a", (sonde_level)7), -1);
    assert_int_equal(sonde_logger_level_set(NULL, (sonde_level)0), -1);
    for (int i = 0; i < 64; i++) {
        snprintf(number, sizeof(number), "n%d", i);
        assert_int_equal(sonde_logger_level_set(number, SONDE_WARN), 0);
    }
    assert_int_equal(sonde_logger_level_set("one more", SONDE_WARN), -1);
    assert_int_equal(sonde_logger_level_set("n0", SONDE_INFO), 0);
}

static void note(void *user, const char *name, sonde_level level, bool own)
{
    buf_fmt(user, "%s=%d%s;", name, (int)level, own ? "!" : "");
}

static void all_loggers_can_be_listed(void **state UNUSED)
{
    char text[8192];
    buf list = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    sonde_log_to("listed.one", SONDE_INFO, "seen");
    sonde_logger_level_set("listed", SONDE_ERROR);
    sonde_logger_each(note, &list);
    str got = buf_view(&list);
    assert_true(str_starts(got, STR("=9!;listed=17!;")));
    assert_true(str_contains(got, STR(";listed.one=17;")));
}

static void a_stopped_library_counts_calls_of_every_logger(void **state)
{
    fixture *f = *state;
    sonde_info("registered");
    fixture_poll(f);
    recorder_reader_close(f->reader);
    recorder *r = state_disable();
    uint64_t before = state_early_drops(SIGNAL_LOGS);
    for (int i = 0; i < 2; i++) {
        sonde_error("no");
        db_debug();
        sonde_log_to("not.seen.before", SONDE_ERROR, "no");
    }
    /* What the level would have kept out is not told apart. */
    assert_int_equal(state_early_drops(SIGNAL_LOGS) - before, 6);
    recorder_close(r, true);
    f->reader = NULL;
}

static void more_loggers_than_are_told_apart_have_the_programs_level(void **state)
{
    fixture *f = *state;
    char name[16];
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "many.%d", i);
        sonde_log_as((sonde_str){ name, strlen(name) }, SONDE_INFO, (sonde_str){ "e", 1 }, NULL, 0);
    }
    sonde_log_to("one.too.many", SONDE_INFO, "yes");
    sonde_log_to("one.too.many", SONDE_DEBUG, "no");
    assert_int_equal(logged(f), 601);
    assert_text(logger_of(f, 600), "one.too.many");
}

int main(void)
{
#define LEVEL_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, stop_all)
    const struct CMUnitTest tests[] = {
        LEVEL_TEST(a_record_names_its_logger),
        LEVEL_TEST(a_level_holds_for_a_logger_and_those_below),
        LEVEL_TEST(the_programs_level_holds_for_the_others),
        LEVEL_TEST(levels_come_from_a_text),
        LEVEL_TEST(what_cannot_be_set_is_refused),
        LEVEL_TEST(all_loggers_can_be_listed),
        LEVEL_TEST(a_stopped_library_counts_calls_of_every_logger),
        /* Last: the table of loggers is the process's. */
        LEVEL_TEST(more_loggers_than_are_told_apart_have_the_programs_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
