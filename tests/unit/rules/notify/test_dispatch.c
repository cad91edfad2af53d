// SPDX-License-Identifier: Apache-2.0
/* Routes, groups and their times, inhibition, silences and the notification log, by a clock that
 * the tests move and a sender that notes what it is given. */
#include "rules/notify/state.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t now_ms;
static char folder[64], sent[4096];
static send_result answer;
static alertmanager *am;
static unsigned attempts;
static char last_key[KEY_SIZE];

static int64_t tell_time(void *user)
{
    (void)user;
    return now_ms;
}

/* "RECEIVER STATUS NAME/STATUS NAME/STATUS; " for each notification that is taken. */
static void note(const integration *g, str content, const char *key, const _Atomic int *canceled,
                 send_outcome *ret)
{
    arena memory;
    json_reader r;
    str name;
    char line[512];
    size_t at = 0;
    (void)canceled;
    attempts++;
    str_copy_c(last_key, sizeof(last_key), str_c(key));
    ret->result = answer;
    snprintf(ret->reason, sizeof(ret->reason), "as told");
    if (answer != SENT)
        return;
    arena_init(&memory, MiB(1));
    at += (size_t)snprintf(line, sizeof(line), "%.*s", STR_ARG(g->receiver->name));
    json_read(&r, content, &memory, 16);
    assert_int_equal(json_next(&r), JSON_OBJECT);
    while (json_next_key(&r, &name)) {
        bool alerts = str_is(name, "alerts");
        if (!alerts) {
            assert_true(json_skip_next(&r));
            continue;
        }
        assert_int_equal(json_next(&r), JSON_ARRAY);
        while (json_next_item(&r)) {
            str key2, status = STR_EMPTY, instance = STR_EMPTY;
            while (json_next_key(&r, &key2)) {
                if (str_is(key2, "status")) {
                    assert_int_equal(json_next(&r), JSON_STRING);
                    status = r.text;
                } else if (str_is(key2, "labels")) {
                    str label_name;
                    assert_int_equal(json_next(&r), JSON_OBJECT);
                    while (json_next_key(&r, &label_name)) {
                        assert_int_equal(json_next(&r), JSON_STRING);
                        if (str_is(label_name, "i"))
                            instance = r.text;
                    }
                } else {
                    assert_true(json_skip_next(&r));
                }
            }
            at += (size_t)snprintf(line + at, sizeof(line) - at, " %.*s/%c", STR_ARG(instance),
                                   status.ptr[0]);
        }
    }
    assert_null(r.problem);
    size_t used = strlen(sent);
    snprintf(sent + used, sizeof(sent) - used, "%s; ", line);
    arena_done(&memory);
}

static void write_config(const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/config.yml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_it(void)
{
    error err;
    char path[128];
    snprintf(path, sizeof(path), "%s/config.yml", folder);
    alertmanager_options options = {
        .data = folder, .config = path, .now_ms = tell_time, .max_alerts = 20, .max_silences = 3
    };
    if (alertmanager_open(&am, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    am->send = note;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sonde-notify-XXXXXX");
    assert_non_null(mkdtemp(folder));
    now_ms = INT64_C(1700000000000);
    sent[0] = 0;
    answer = SENT;
    attempts = 0;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    alertmanager_free(am);
    am = NULL;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

/* The next seconds, in steps of one. */
static void pass(unsigned seconds)
{
    for (unsigned i = 0; i <= seconds; i++) {
        if (i)
            now_ms += 1000;
        pthread_mutex_lock(&am->lock);
        groups_follow_clock(am, now_ms);
        (void)groups_flush_due(am, now_ms);
        (void)am_commit(am, NULL);
        pthread_mutex_unlock(&am->lock);
        while (sender_step(am))
            ;
    }
}

/* labels: "name=value,…" in any order. ends_in_s 0: fires; negative: has ended. */
static status give(const char *text, int64_t ends_in_s)
{
    label items[8];
    uint32_t n = 0;
    error err;
    str rest = str_c(text);
    while (rest.len) {
        str value, name = str_cut(str_cut(rest, ',', &rest), '=', &value);
        items[n++] = (label){ name, value };
    }
    labels l = labels_sort(items, n);
    alert a = { .labels = l.items,
                .label_count = l.count,
                .starts_ms = now_ms,
                .ends_ms = ends_in_s ? now_ms + ends_in_s * 1000 : 0,
                .generator_url = STR_EMPTY };
    if (ends_in_s < 0)
        a.starts_ms = a.ends_ms;
    const alert_sink *sink = alertmanager_sink(am);
    return sink->put(sink->user, &a, 1, &err);
}

static void expect(const char *wanted)
{
    assert_string_equal(sent, wanted);
    sent[0] = 0;
}

#define HOOK(name_) "- name: " name_ "\n  webhook_configs: [{url: 'http://127.0.0.1:1/'}]\n"
#define SIMPLE \
    "route: {receiver: all, group_by: [g], group_wait: 10s, group_interval: 30s, " \
    "repeat_interval: 2m}\nreceivers:\n" HOOK("all")

static void groups_wait_then_tell_changes_then_repeat(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    give("g=x,i=1", 3600);
    pass(5);
    give("g=x,i=2", 3600);
    give("g=y,i=3", 3600);
    pass(4);
    expect("");
    pass(1);
    expect("all 1/f 2/f; ");
    pass(5);
    expect("all 3/f; ");
    give("g=x,i=4", 3600); /* told with the next look at the group, 30 s after the first */
    pass(24);
    expect("");
    pass(1);
    expect("all 1/f 2/f 4/f; ");
    pass(60);
    expect("");
    pass(65);
    /* After repeat_interval, at the next look at each group. */
    assert_non_null(strstr(sent, "all 3/f; "));
    sent[0] = 0;
    pass(60);
    assert_non_null(strstr(sent, "all 1/f 2/f 4/f; "));
}

static void ends_are_told_once_and_forgotten(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    give("g=x,i=1", 3600);
    give("g=x,i=2", 3600);
    pass(10);
    expect("all 1/f 2/f; ");
    give("g=x,i=1", -1);
    pass(30);
    expect("all 1/r 2/f; ");
    assert_int_equal(am->alerts.count, 1);
    give("g=x,i=2", -1);
    pass(30);
    expect("all 2/r; ");
    assert_int_equal(am->alerts.count, 0);
    assert_int_equal(am->groups.count, 0);
    give("g=x,i=9", -1); /* an end of what nobody was told of */
    pass(60);
    expect("");
    assert_int_equal(am->alerts.count, 0);
}

static void an_alert_that_is_not_given_again_ends(void **state)
{
    (void)state;
    write_config("global: {resolve_timeout: 1m}\n" SIMPLE);
    open_it();
    give("g=x,i=1", 0);
    pass(10);
    expect("all 1/f; ");
    pass(40);
    give("g=x,i=1", 0);
    pass(55);
    expect("");
    pass(40);
    expect("all 1/r; ");
}

static void routes_are_tried_in_order_and_continue(void **state)
{
    (void)state;
    write_config("route:\n  receiver: all\n  group_wait: 0s\n  group_by: ['...']\n  routes:\n"
                 "  - {receiver: one, matchers: ['s=a'], continue: true}\n"
                 "  - receiver: two\n    matchers: ['s=~\"a|b\"']\n    routes:\n"
                 "    - {receiver: deep, match: {t: d}}\n"
                 "  - {receiver: three, match_re: {s: '.+'}}\nreceivers:\n" HOOK("all") HOOK("one")
                     HOOK("two") HOOK("deep") HOOK("three"));
    open_it();
    static const struct {
        const char *given, *first, *second;
    } cases[] = { { "i=1,s=a", "one 1/f; ", "two 1/f; " },
                  { "i=2,s=b,t=d", "deep 2/f; ", NULL },
                  { "i=3,s=c", "three 3/f; ", NULL },
                  { "i=4", "all 4/f; ", NULL } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        give(cases[i].given, 3600);
        pass(1);
        assert_non_null(strstr(sent, cases[i].first));
        assert_true(!cases[i].second || strstr(sent, cases[i].second));
        assert_int_equal(strlen(sent),
                         strlen(cases[i].first) + (cases[i].second ? strlen(cases[i].second) : 0));
        sent[0] = 0;
    }
}

static void an_alert_inhibits_others_with_equal_labels(void **state)
{
    (void)state;
    write_config("inhibit_rules:\n- source_matchers: ['s=critical']\n"
                 "  target_matchers: ['s=~\"warning|critical\"']\n  equal: [g]\n" SIMPLE);
    open_it();
    give("g=x,i=1,s=critical", 3600);
    give("g=x,i=2,s=warning", 3600);
    give("g=x,i=3,s=critical", 3600); /* both sides match: the two do not mute each other */
    give("g=y,i=4,s=warning", 3600);
    pass(10);
    assert_non_null(strstr(sent, "all 1/f 3/f; "));
    assert_non_null(strstr(sent, "all 4/f; "));
    sent[0] = 0;
    give("g=x,i=1,s=critical", -1);
    give("g=x,i=3,s=critical", -1);
    pass(30);
    assert_non_null(strstr(sent, "2/f"));
}

static str post_silence(const char *matcher, int64_t from_s, int64_t to_s, const char *id)
{
    static arena memory;
    static buf body;
    str ret = STR_EMPTY;
    error err;
    arena_done(&memory);
    arena_init(&memory, MiB(1));
    buf_init(&body, 1000);
    buf_fmt(&body,
            "{\"id\":\"%s\",\"matchers\":[{\"name\":\"i\",\"value\":\"%s\",\"isRegex\":false}],"
            "\"comment\":\"c\",\"createdBy\":\"me\",\"startsAt\":\"",
            id, matcher);
    clock_format_rfc3339(&body, (now_ms + from_s * 1000) * NS_PER_MS, 3);
    buf_lit(&body, "\",\"endsAt\":\"");
    clock_format_rfc3339(&body, (now_ms + to_s * 1000) * NS_PER_MS, 3);
    buf_lit(&body, "\"}");
    status st = alertmanager_post_silence(am, buf_view(&body), &memory, &ret, &err);
    static char text[64];
    str_copy_c(text, sizeof(text), st == STATUS_OK ? ret : str_c(status_name(st)));
    buf_done(&body);
    arena_done(&memory);
    return str_c(text);
}

static void silences_mute_while_they_hold(void **state)
{
    (void)state;
    char first[64];
    write_config(SIMPLE);
    open_it();
    str_copy_c(first, sizeof(first), post_silence("1", 0, 60, ""));
    give("g=x,i=1", 3600);
    pass(50);
    expect("");
    pass(40);
    expect("all 1/f; ");
    assert_string_equal(post_silence("1", 0, 60, "unknown").ptr, status_name(STATUS_NOT_FOUND));
    assert_string_equal(post_silence("1", -60, -10, "").ptr, status_name(STATUS_INVALID));
}

static void a_changed_silence_keeps_its_id_or_gets_another(void **state)
{
    (void)state;
    char first[64], second[64];
    write_config(SIMPLE);
    open_it();
    str_copy_c(first, sizeof(first), post_silence("1", 0, 60, ""));
    str_copy_c(second, sizeof(second), post_silence("1", 0, 120, first)); /* longer */
    assert_string_equal(first, second);
    assert_int_equal(am->silence_count, 1);
    str_copy_c(second, sizeof(second), post_silence("2", 0, 120, first)); /* other alerts */
    assert_string_not_equal(first, second);
    assert_int_equal(am->silence_count, 2);
    assert_int_equal(silence_state_at(am->silences[0], now_ms), SILENCE_EXPIRED);
    assert_int_equal(silence_state_at(am->silences[1], now_ms), SILENCE_ACTIVE);
    (void)post_silence("3", 0, 60, "");
    assert_string_equal(post_silence("4", 0, 60, "").ptr, status_name(STATUS_LIMIT));
}

static void a_failed_notification_is_sent_again_after_a_restart(void **state)
{
    (void)state;
    char key[KEY_SIZE];
    write_config(SIMPLE);
    open_it();
    answer = SEND_LATER;
    give("g=x,i=1", 3600);
    pass(20);
    expect("");
    assert_true(attempts > 1);
    str_copy_c(key, sizeof(key), str_c(last_key));
    give("g=x,i=2", 3600);
    pass(60);
    alertmanager_free(am);
    answer = SENT;
    open_it();
    pass(0);
    assert_string_equal(last_key, key);
    expect("all 1/f; "); /* as it was stored; what came since is told after it */
    pass(31);
    expect("all 1/f 2/f; ");
    alertmanager_free(am);
    open_it();
    pass(60);
    expect(""); /* the log knows */
}

static void a_refused_notification_is_not_sent_again_at_once(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    answer = SEND_NEVER;
    give("g=x,i=1", 3600);
    pass(39);
    assert_int_equal(attempts, 1);
    answer = SENT;
    pass(1);
    expect("all 1/f; ");
    assert_int_equal(am->counters.failed[NOTIFY_WEBHOOK], 1);
}

static void nothing_is_told_in_muted_times(void **state)
{
    (void)state;
    /* 2023-11-14 22:13:20 is the beginning; a Tuesday. */
    write_config("time_intervals:\n- name: evening\n  time_intervals:\n"
                 "  - times: [{start_time: '22:00', end_time: '22:14'}]\n"
                 "route:\n  receiver: all\n  group_wait: 0s\n  group_interval: 10s\n  routes:\n"
                 "  - {receiver: all, matchers: [i=1], mute_time_intervals: [evening]}\n"
                 "  - {receiver: all, matchers: [i=2], active_time_intervals: [evening]}\n"
                 "receivers:\n" HOOK("all"));
    open_it();
    give("i=1", 3600);
    give("i=2", 3600);
    pass(30);
    expect("all 2/f; ");
    pass(30);
    expect("all 1/f; ");
}

static void groups_show_what_mutes_them(void **state)
{
    (void)state;
    error err;
    buf out;
    alertmanager_filter filter = { .active = true, .muted = true };
    write_config("time_intervals:\n- name: evening\n  time_intervals:\n"
                 "  - times: [{start_time: '22:00', end_time: '22:14'}]\n"
                 "route: {receiver: all, mute_time_intervals: [],"
                 " routes: [{receiver: all, mute_time_intervals: [evening]}]}\n"
                 "receivers:\n" HOOK("all"));
    open_it();
    give("i=1", 3600);
    for (int shown = 1; shown >= 0; shown--) {
        buf_init(&out, MiB(1));
        json_writer w = json_write(&out);
        filter.muted = shown;
        assert_int_equal(alertmanager_write_groups(am, &filter, &w, &err), STATUS_OK);
        str text = buf_view(&out);
        assert_int_equal(str_contains(text, STR("\"mutedBy\":[\"evening\"]")), shown);
        assert_int_equal(str_contains(text, STR("\"state\":\"suppressed\"")), shown);
        assert_int_equal(str_eq(text, STR("[]")), !shown);
        buf_done(&out);
    }
}

static void an_outage_ends_no_alert(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    give("g=x,i=1", 240);
    give("g=x,i=2", 240);
    pass(11);
    expect("all 1/f 2/f; ");
    alertmanager_free(am);
    now_ms += 30 * 60 * 1000; /* of the server, not of what the alerts are about */
    open_it();
    pass(60);
    give("g=x,i=1", 3600);
    sent[0] = 0; /* it was time to repeat */
    pass(175);
    assert_null(strstr(sent, "/r"));
    sent[0] = 0;
    pass(40); /* nobody gave the second again */
    assert_non_null(strstr(sent, "1/f 2/r"));
    sent[0] = 0;
    give("g=x,i=1", -1);
    alertmanager_free(am);
    now_ms += 1000;
    open_it();
    pass(1);
    expect("all 1/r; "); /* that one had ended */
    give("g=x,i=3", 60);
    pass(35);
    expect("all 3/f; ");
    answer = SEND_LATER;
    pass(60); /* not given again, it ended; nobody hears of it yet */
    alertmanager_free(am);
    now_ms += 60 * 1000;
    answer = SENT;
    open_it();
    pass(100);
    expect("all 3/r; ");
}

/* The end was muted, or refused: nobody heard of it. */
static void what_fires_anew_is_told_anew(void **state)
{
    (void)state;
    write_config("route: {receiver: all, group_by: [g], group_wait: 1s, group_interval: 5s,"
                 " repeat_interval: 4h}\nreceivers:\n" HOOK(
                     "all") "inhibit_rules: [{source_matchers: [s=1], target_matchers: [i=1]}]\n");
    open_it();
    give("g=x,i=1", 3600);
    pass(10);
    expect("all 1/f; ");
    give("s=1,i=s", 3600);
    give("g=x,i=1", -1);
    pass(10);
    expect("all s/f; ");
    give("s=1,i=s", -1);
    pass(10);
    expect("all s/r; ");
    give("g=x,i=1", 3600);
    pass(10);
    expect("all 1/f; ");
    answer = SEND_NEVER;
    give("g=x,i=1", -1);
    pass(30);
    assert_int_equal(am->counters.failed[NOTIFY_WEBHOOK], 1);
    answer = SENT;
    give("g=x,i=1", 3600);
    pass(10);
    expect("all 1/f; ");
}

static void what_could_not_be_stored_is_made_again(void **state)
{
    (void)state;
    struct rlimit former, none;
    write_config(SIMPLE);
    open_it();
    give("g=x,i=1", 3600);
    pass(9);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &former);
    none = (struct rlimit){ 1, former.rlim_max };
    setrlimit(RLIMIT_FSIZE, &none);
    pass(1);
    setrlimit(RLIMIT_FSIZE, &former);
    assert_true(am->counters.database_errors > 0);
    assert_int_equal(am->pending_count, 0);
    assert_int_equal(attempts, 0);
    pass(5);
    expect("all 1/f; ");
}

static void a_clock_that_is_set_back_delays_nothing(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    answer = SEND_LATER;
    give("g=x,i=1", 7200);
    pass(20);
    answer = SENT;
    now_ms -= 3600 * 1000;
    pass(60);
    expect("all 1/f; ");
    now_ms -= 3600 * 1000;
    give("g=x,i=2", 7200);
    pass(31);
    expect("all 1/f 2/f; ");
}

static void a_clock_that_is_set_forward_ends_no_alert(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    give("g=x,i=1", 240);
    give("g=x,i=2", 240);
    pass(11);
    expect("all 1/f 2/f; ");
    now_ms += 10 * 60 * 1000;
    pass(60);
    give("g=x,i=1", 3600);
    sent[0] = 0; /* it was time to repeat */
    pass(175);
    assert_null(strstr(sent, "/r"));
    pass(40); /* nobody gave the second again */
    assert_non_null(strstr(sent, "1/f 2/r"));
}

static void an_alert_without_place_gets_one_later(void **state)
{
    (void)state;
    write_config("route: {receiver: all, group_wait: 1s, group_interval: 5s, routes: ["
                 "{receiver: a, group_by: [g], continue: true, group_wait: 1s},"
                 "{receiver: b, group_by: [g], group_wait: 1s}]}\nreceivers:\n" HOOK("all")
                     HOOK("a") HOOK("b"));
    open_it();
    am->options.max_groups = 1;
    assert_int_equal(give("g=x,i=1", 3600), STATUS_LIMIT);
    am->options.max_groups = 2;
    assert_int_equal(give("g=x,i=1", 3600), STATUS_OK);
    pass(5);
    assert_non_null(strstr(sent, "a 1/f; "));
    assert_non_null(strstr(sent, "b 1/f; "));
}

/* While it sends, the configuration loses the receiver. */
static void reload_and_fail(const integration *g, str content, const char *key,
                            const _Atomic int *canceled, send_outcome *ret)
{
    error err;
    char path[128];
    (void)g, (void)content, (void)key, (void)canceled;
    snprintf(path, sizeof(path), "%s/config.yml", folder);
    write_config("route: {receiver: other}\nreceivers:\n" HOOK("other"));
    assert_int_equal(alertmanager_reload(am, path, &err), STATUS_OK);
    ret->result = SEND_LATER;
}

static void a_receiver_that_goes_while_it_is_told_is_given_up(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    am->send = reload_and_fail;
    give("g=x,i=1", 3600);
    pass(10);
    assert_int_equal(am->counters.dropped[NOTIFY_WEBHOOK], 1);
    assert_int_equal(am->pending_count, 0);
}

static void receivers_that_do_not_answer_leave_threads_to_others(void **state)
{
    (void)state;
    char text[64];
    write_config("route: {receiver: good, group_wait: 0s, group_by: [g], routes: ["
                 "{matchers: [i=a], receiver: a, group_by: [g]},"
                 "{matchers: [i=b], receiver: b, group_by: [g]},"
                 "{matchers: [i=c], receiver: c, group_by: [g]},"
                 "{matchers: [i=d], receiver: d, group_by: [g]},"
                 "{matchers: [i=e], receiver: e, group_by: [g]}]}\nreceivers:\n" HOOK("good")
                     HOOK("a") HOOK("b") HOOK("c") HOOK("d") HOOK("e"));
    open_it();
    answer = SEND_LATER;
    for (int i = 0; i < 15; i++) {
        snprintf(text, sizeof(text), "g=%d,i=%c", i, 'a' + i % 5);
        give(text, 3600);
    }
    pass(1);
    assert_true(attempts >= 15); /* all of them failed */
    now_ms += 120 * 1000;
    am->running_doubtful = SENDERS_MAX / 2; /* as if their threads were waiting for answers */
    assert_false(sender_step(am));
    answer = SENT;
    give("g=1,i=x", 3600); /* new, which is more than to fail */
    pass(0);
    expect("good x/f; ");
    am->running_doubtful = SENDERS_MAX;
    give("g=2,i=y", 3600); /* it answers by now */
    pass(0);
    expect("good y/f; ");
    am->running_doubtful = 0;
    now_ms += 1000;
    pass(0);
    assert_int_equal(am->pending_count, 0);
}

static void count_words(void *user, bool warning, const char *event, const char *text)
{
    (void)user, (void)text;
    attempts += warning && strcmp(event, "notifications_wait") == 0;
}

static void at_the_limit_others_wait_and_it_is_told_once(void **state)
{
    (void)state;
    write_config(SIMPLE);
    open_it();
    am->options.max_pending = 1;
    am->options.say = count_words;
    give("g=x,i=1", 3600);
    give("g=y,i=2", 3600);
    give("g=z,i=3", 3600);
    now_ms += 10000;
    for (int i = 0; i < 3; i++, now_ms += 10000)
        (void)groups_flush_due(am, now_ms);
    assert_int_equal(am->pending_count, 1);
    assert_int_equal(attempts, 1);
    pass(100);
    assert_int_equal(am->counters.notifications[NOTIFY_WEBHOOK], 3);
}

static void limits_are_told_to_who_gives(void **state)
{
    (void)state;
    char text[32];
    write_config(SIMPLE);
    open_it();
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "g=x,i=%d", i);
        assert_int_equal(give(text, 3600), STATUS_OK);
    }
    assert_int_equal(give("g=x,i=20", 3600), STATUS_LIMIT);
    assert_int_equal(give("g=x,i=1", 3600), STATUS_OK); /* a known one */
    assert_int_equal(give("", 3600), STATUS_INVALID);
    assert_int_equal(am->counters.alert_limit, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(groups_wait_then_tell_changes_then_repeat),
        TEST(ends_are_told_once_and_forgotten),
        TEST(an_alert_that_is_not_given_again_ends),
        TEST(routes_are_tried_in_order_and_continue),
        TEST(an_alert_inhibits_others_with_equal_labels),
        TEST(silences_mute_while_they_hold),
        TEST(a_changed_silence_keeps_its_id_or_gets_another),
        TEST(a_failed_notification_is_sent_again_after_a_restart),
        TEST(a_refused_notification_is_not_sent_again_at_once),
        TEST(nothing_is_told_in_muted_times),
        TEST(groups_show_what_mutes_them),
        TEST(an_outage_ends_no_alert),
        TEST(what_fires_anew_is_told_anew),
        TEST(what_could_not_be_stored_is_made_again),
        TEST(a_clock_that_is_set_back_delays_nothing),
        TEST(a_clock_that_is_set_forward_ends_no_alert),
        TEST(an_alert_without_place_gets_one_later),
        TEST(a_receiver_that_goes_while_it_is_told_is_given_up),
        TEST(receivers_that_do_not_answer_leave_threads_to_others),
        TEST(at_the_limit_others_wait_and_it_is_told_once),
        TEST(limits_are_told_to_who_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
