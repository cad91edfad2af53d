// SPDX-License-Identifier: Apache-2.0
/* Configuration files: what is read, with fake components. */
#include "support.h"

#include "base/clock.h"
#include "fake_components.h"
#include "pipeline/config.h"

#include <stdio.h>
#include <stdlib.h>

static buf said;

static void keep(void *user, bool warning, const char *text)
{
    (void)user;
    buf_fmt(&said, "%s%s\n", warning ? "warning: " : "", text);
}

static status parse(config *c, const char *text, const pair_list *names)
{
    error err;
    buf_clear(&said);
    return config_parse(c, "c.yaml", str_c(text), names, keep, NULL, &err);
}

/* Options of the processor `all` in a file that is good but for them. */
static const char *around(const char *options)
{
    static char text[20000];
    snprintf(text, sizeof(text),
             "receivers: {otlp: {}}\n"
             "exporters: {sonde: {}}\n"
             "service: {pipelines: {logs: {receivers: [otlp], processors: [all], exporters: "
             "[sonde]}}}\n"
             "processors:\n"
             "  all:\n"
             "%s",
             options);
    return text;
}

static const config_component *find(const config *c, component_kind kind, const char *id)
{
    for (uint32_t i = 0; i < c->component_count; i++)
        if (c->components[i].kind == kind && str_is(str_c(c->components[i].id), id))
            return &c->components[i];
    fail_msg("no %s", id);
    return NULL;
}

static const fake_all_settings *all_of(config *c, const char *options, const pair_list *names)
{
    if (parse(c, around(options), names) != STATUS_OK)
        fail_msg("%.*s", STR_ARG(buf_view(&said)));
    return find(c, COMPONENT_PROCESSOR, "all")->settings;
}

static void assert_text(str got, const char *wanted)
{
    if (!str_is(got, wanted))
        fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(got), wanted);
}

static void defaults_come_from_the_table(void **state)
{
    config c;
    (void)state;
    const fake_all_settings *s = all_of(&c, "    section:\n", NULL);
    assert_text(s->text, "standard");
    assert_true(s->truth);
    assert_int_equal(s->integer, 7);
    assert_int_equal(s->duration, 90 * NS_PER_S);
    assert_true(s->number == 0.5);
    assert_int_equal(s->choice, 3);
    assert_int_equal(s->texts.count, 2);
    assert_text(s->texts.items[1], "b");
    assert_true(s->has_section);
    assert_int_equal(s->section.port, 80);
    assert_int_equal(s->any.type, VALUE_EMPTY);
    config_done(&c);
    s = all_of(&c, "", NULL);
    assert_false(s->has_section);
    assert_int_equal(s->section.port, 80);
    config_done(&c);
}

static void every_type_of_option_is_read(void **state)
{
    config c;
    (void)state;
    const fake_all_settings *s = all_of(&c,
                                        "    text: 0123\n"
                                        "    secret: 's e'\n"
                                        "    truth: false\n"
                                        "    integer: 2KiB\n"
                                        "    duration: 1.5s\n"
                                        "    number: 0.25\n"
                                        "    choice: insert\n"
                                        "    texts: [x, '1']\n"
                                        "    pairs: {a: b, c: 5}\n"
                                        "    any: {n: 1, f: 1.5, t: '1', l: [true, ~]}\n"
                                        "    section: {port: 0x50, secure: true}\n"
                                        "    actions:\n"
                                        "      - {key: k1, action: delete}\n"
                                        "      - key: k2\n"
                                        "    targets: {one: {port: 1}, two: }\n",
                                        NULL);
    assert_text(s->text, "0123");
    assert_text(s->secret, "s e");
    assert_false(s->truth);
    assert_int_equal(s->integer, 2048);
    assert_int_equal(s->duration, 1500 * NS_PER_MS);
    assert_true(s->number == 0.25);
    assert_int_equal(s->choice, 0);
    assert_int_equal(s->texts.count, 2);
    assert_text(s->texts.items[1], "1");
    assert_text(s->pairs.items[1].value, "5");
    assert_int_equal(s->any.map.count, 4);
    assert_int_equal(s->any.map.items[0].value.i64, 1);
    assert_true(s->any.map.items[1].value.f64 == 1.5);
    assert_int_equal(s->any.map.items[2].value.type, VALUE_STR);
    assert_int_equal(s->any.map.items[3].value.array.items[1].type, VALUE_EMPTY);
    assert_int_equal(s->section.port, 80);
    assert_true(s->section.secure);
    const fake_action *actions = s->actions.items;
    assert_int_equal(s->actions.count, 2);
    assert_int_equal(actions[0].action, 3);
    assert_int_equal(actions[1].action, 2);
    const fake_target *targets = s->targets.items;
    assert_text(targets[0].name, "one");
    assert_int_equal(targets[0].port, 1);
    assert_text(targets[1].name, "two");
    assert_int_equal(targets[1].port, 80);
    config_done(&c);
}

static void pipelines_name_their_components(void **state)
{
    config c;
    (void)state;
    assert_int_equal(parse(&c,
                           "receivers: {otlp: {protocols: {grpc: }}, loki: }\n"
                           "processors: {batch/a: {}, batch/b: {}}\n"
                           "connectors: {forward: , count: }\n"
                           "exporters: {sonde: , otlp: {endpoint: 'far:4317', headers: {a: b}}}\n"
                           "extensions: {health_check: }\n"
                           "service:\n"
                           "  extensions: [health_check]\n"
                           "  pipelines:\n"
                           "    logs: {receivers: [otlp, loki], processors: [batch/b, batch/a], "
                           "exporters: [forward, count]}\n"
                           "    logs/2: {receivers: [forward], exporters: [otlp, sonde]}\n"
                           "    metrics: {receivers: [count, otlp], exporters: [sonde]}\n",
                           NULL),
                     STATUS_OK);
    assert_text(buf_view(&said), "");
    assert_int_equal(c.pipeline_count, 3);
    assert_int_equal(c.extension_count, 1);
    const config_pipeline *p = &c.pipelines[0];
    assert_int_equal(p->signal, SIGNAL_LOGS);
    assert_int_equal(p->processor_count, 2);
    assert_string_equal(c.components[p->processors[0]].id, "batch/b");
    assert_string_equal(c.components[p->exporters[1]].id, "count");
    assert_string_equal(c.pipelines[1].id, "logs/2");
    const fake_otlp_settings *otlp = find(&c, COMPONENT_RECEIVER, "otlp")->settings;
    assert_true(otlp->protocols.has_grpc);
    assert_false(otlp->protocols.has_http);
    /* The component's own row wins over the one that is inlined. */
    assert_text(otlp->protocols.grpc.endpoint, "localhost:4317");
    assert_text(otlp->protocols.http.endpoint, "");
    const fake_exporter_settings *far = find(&c, COMPONENT_EXPORTER, "otlp")->settings;
    assert_text(far->client.endpoint, "far:4317");
    assert_int_equal(far->client.timeout, 30 * NS_PER_S);
    assert_text(far->client.tls.min_version, "1.2");
    assert_true(far->exporter.retry.enabled);
    assert_int_equal(far->exporter.retry.initial_interval, 5 * NS_PER_S);
    assert_int_equal(far->exporter.batch.send_batch_size, 8192);
    assert_false(far->exporter.has_batch);
    config_done(&c);
}

static void environment_and_files_are_put_in(void **state)
{
    config c;
    char path[] = "/tmp/sonde-config-XXXXXX", line[300];
    text_pair names[] = { { STR_INIT("sonde:http"), STR_INIT("127.0.0.1:1") },
                          { STR_INIT("sonde:list"), STR_INIT("[p, q]") } };
    pair_list given = { names, ARRAY_LEN(names) };
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "from a file\n", 12), 12);
    close(fd);
    setenv("CFG_NUMBER", "12", 1);
    setenv("CFG_ODD", "a${env:CFG_NUMBER}$$", 1);
    setenv("CFG_EMPTY", "", 1);
    unsetenv("CFG_UNSET");
    snprintf(line, sizeof(line), "    text: ${file:%s}\n    integer: ${env:CFG_NUMBER}\n", path);
    const fake_all_settings *s = all_of(&c, line, NULL);
    assert_text(s->text, "from a file");
    assert_int_equal(s->integer, 12);
    config_done(&c);
    s = all_of(&c,
               "    text: a$$b${CFG_ODD}-${env:CFG_EMPTY:-x}-${env:CFG_UNSET:-y}-$z\n"
               "    secret: ${env:CFG_UNSET:-${env:CFG_NUMBER}}\n"
               "    texts: ${sonde:list}\n"
               "    pairs: {a: '${sonde:http}', '${b}': c}\n",
               &given);
    assert_text(s->text, "a$ba${env:CFG_NUMBER}$$--y-$z");
    assert_text(s->secret, "12");
    assert_int_equal(s->texts.count, 2);
    assert_text(s->texts.items[1], "q");
    assert_text(s->pairs.items[0].value, "127.0.0.1:1");
    assert_text(s->pairs.items[1].name, "${b}");
    config_done(&c);
    unlink(path);
}

static void anchors_and_merge_keys_work(void **state)
{
    config c;
    (void)state;
    const fake_all_settings *s = all_of(&c,
                                        "    any: {base: &base {port: 5, secure: true}}\n"
                                        "    section: {<<: *base, port: 6}\n"
                                        "    targets:\n"
                                        "      a: *base\n"
                                        "      b: {<<: [*base, {port: 9}]}\n",
                                        NULL);
    const fake_target *targets = s->targets.items;
    assert_int_equal(s->section.port, 6);
    assert_true(s->section.secure);
    assert_int_equal(targets[0].port, 5);
    assert_int_equal(targets[1].port, 5);
    assert_true(targets[1].secure);
    config_done(&c);
}

static int open_said(void **state)
{
    (void)state;
    buf_init(&said, MiB(1));
    return 0;
}

static int close_said(void **state)
{
    (void)state;
    buf_done(&said);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(every_type_of_option_is_read),
        cmocka_unit_test(pipelines_name_their_components),
        cmocka_unit_test(environment_and_files_are_put_in),
        cmocka_unit_test(anchors_and_merge_keys_work),
    };
    return cmocka_run_group_tests(tests, open_said, close_said);
}
