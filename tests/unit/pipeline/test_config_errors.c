// SPDX-License-Identifier: Apache-2.0
/* Configuration files that are wrong: what is said about each, with fake components. */
#include "support.h"

#include "fake_components.h"
#include "pipeline/config.h"

#include <stdio.h>
#include <stdlib.h>

#define RECEIVERS "receivers: {otlp: }\n"
#define EXPORTERS "exporters: {sonde: }\n"
#define SERVICE   "service: {pipelines: {logs: {receivers: [otlp], exporters: [sonde]}}}\n"
#define GOOD      RECEIVERS EXPORTERS SERVICE
/* The processor `all`, whose options follow on line 5. */
#define ALL_FILE \
    RECEIVERS EXPORTERS "service: {pipelines: {logs: {receivers: [otlp], processors: [all], " \
                        "exporters: [sonde]}}}\n" \
                        "processors: {all: {\n"
#define PIPELINES \
    RECEIVERS EXPORTERS "connectors: {forward: , count: , forward/2: }\nservice:\n  pipelines:\n"

typedef struct {
    const char *text;
    const char *said; /* all of it, a line each; "warning: " before warnings */
} wrong_file;

static const wrong_file files[] = {
    /* YAML */
    { "", "c.yaml: the file is empty: it wants receivers, exporters and service\n" },
    { "receivers: [otlp\n", NULL },
    { "a: b: c\n", NULL },
    { "- a\n", "c.yaml:1:1: wants a map with receivers, exporters and service, not a list\n" },
    { GOOD "receivers: {}\n",
      "c.yaml:4:1: \"receivers\" stands twice in this map; first on line 1\n" },
    { GOOD "---\n" GOOD, "c.yaml: more than one document; there must be no second \"---\"\n" },
    { "a: \xff\n", "c.yaml:1:4: this is no text in UTF-8\n" },
    { "a: &a [*a]\n", "c.yaml:1:8: this alias stands inside of what it means\n" },
    { "a: *b\n", "c.yaml:1:4: this alias (*) means no anchor (&) before it; text that begins with "
                 "* wants quotes\n" },
    { "a: {<<: 5}\n", "c.yaml:1:9: \"<<\" wants a map or a list of maps, not text\n" },
    { "? [a]\n: b\n", "c.yaml:1:3: a key must be text, not a list\n" },
    /* sections */
    { "reciever: {}\n" GOOD,
      "c.yaml:1:1: unknown section \"reciever\"; did you mean \"receivers\"?\n" },
    { RECEIVERS EXPORTERS,
      "c.yaml:1:1: \"service\" is missing or empty: service.pipelines says what runs\n" },
    { "receivers: [otlp]\n" EXPORTERS SERVICE,
      "c.yaml:1:12: receivers wants a map of ids to options, not a list\n"
      "c.yaml:3:42: pipeline logs: receiver \"otlp\" is not defined in receivers; there are "
      "none\n" },
    /* components */
    { "receivers: {otpl: }\n" EXPORTERS
      "service: {pipelines: {logs: {receivers: [otpl], exporters: [sonde]}}}\n",
      "c.yaml:1:13: unknown receiver \"otpl\"; did you mean \"otlp\"?\n" },
    { GOOD "processors: {kafka: }\n",
      "c.yaml:4:14: unknown processor \"kafka\"; known are: batch, all, tail_sampling\n" },
    { GOOD "processors: {sonde: }\n",
      "c.yaml:4:14: there is no processor \"sonde\", only an exporter of that name\n" },
    { "receivers: {otlp: , otlp/: }\n" EXPORTERS SERVICE,
      "c.yaml:1:21: receivers: \"otlp/\" is no id; an id is TYPE or TYPE/NAME, without spaces\n" },
    { "receivers: {otlp: , '': }\n" EXPORTERS SERVICE,
      "c.yaml:1:21: receivers: \"\" is no id; an id is TYPE or TYPE/NAME, without spaces\n" },
    { "receivers: {otlp: , otlp/2: }\n" EXPORTERS SERVICE,
      "warning: c.yaml:1:21: receiver otlp/2 is defined and not used by any pipeline\n" },
    { GOOD "connectors: {otlp: }\n",
      "c.yaml:4:14: there is no connector \"otlp\", only a receiver of that name\n" },
    /* options */
    { "receivers: {otlp: {endpont: x}}\n" EXPORTERS SERVICE,
      "c.yaml:1:20: receiver otlp: unknown option \"endpont\"; known are: protocols\n" },
    { "receivers: {otlp: {protocols: {grpc: {endpont: x}}}}\n" EXPORTERS SERVICE,
      "c.yaml:1:39: receiver otlp: protocols.grpc: unknown option \"endpont\"; did you mean "
      "\"endpoint\"?\n" },
    { "receivers: {otlp: 5}\n" EXPORTERS SERVICE,
      "c.yaml:1:19: receiver otlp: wants a map of options, not text\n" },
    { "receivers: {otlp: {protocols: {grpc: {transport: unix}}}}\n" EXPORTERS SERVICE,
      "warning: c.yaml:1:50: receiver otlp: protocols.grpc.transport: has no effect here: "
      "addresses are TCP\n" },
    { "receivers: {otlp: {protocols: {grpc: {tls: {min_version: '1.1'}}}}}\n" EXPORTERS SERVICE,
      "c.yaml:1:58: receiver otlp: protocols.grpc.tls.min_version: \"1.1\" is no choice; did you "
      "mean \"1.2\"?\n" },
    { ALL_FILE "integer: many}}\n",
      "c.yaml:5:10: processor all: integer: \"many\" is no whole number\n" },
    { ALL_FILE "integer: -1}}\n",
      "c.yaml:5:10: processor all: integer: \"-1\" is not from 0 to 1000000000\n" },
    { ALL_FILE "duration: 5}}\n",
      "c.yaml:5:11: processor all: duration: \"5\" is no duration; write 5s, 1m30s, 200ms\n" },
    { ALL_FILE "duration: 2h}}\n",
      "c.yaml:5:11: processor all: duration: \"2h\" is not from 0s to 1h\n" },
    { ALL_FILE "number: 2}}\n", "c.yaml:5:9: processor all: number: \"2\" is not from 0 to 1\n" },
    { ALL_FILE "truth: maybe}}\n",
      "c.yaml:5:8: processor all: truth: \"maybe\" is neither true nor false\n" },
    { ALL_FILE "text: [a]}}\n", "c.yaml:5:7: processor all: text: wants text, not a list\n" },
    { ALL_FILE "choice: updat}}\n",
      "c.yaml:5:9: processor all: choice: \"updat\" is no choice; did you mean \"update\"?\n" },
    { ALL_FILE "pairs: secret-5}}\n",
      "c.yaml:5:8: processor all: pairs: wants a map of names to texts, not text\n" },
    { ALL_FILE "actions: {key: a}}}\n",
      "c.yaml:5:10: processor all: actions: wants a list of maps, not a map\n" },
    { ALL_FILE "actions: [{key: a}, {action: insert}]}}\n",
      "c.yaml:5:21: processor all: actions[1]: \"key\" is missing: help\n" },
    { ALL_FILE "actions: [{key: a}, {key: forbidden}]}}\n",
      "c.yaml:5:27: processor all: actions[1].key: the key is forbidden\n" },
    { ALL_FILE "targets: {a: {port: 0}}}}\n",
      "c.yaml:5:21: processor all: targets.a.port: \"0\" is not from 1 to 65535\n" },
    { ALL_FILE "secret: [hunter2], text: {a: hunter2}, integer: '${env:CFG_SECRET}', duration: "
               "'${CFG_SECRET}'}}\n",
      "c.yaml:5:9: processor all: secret: wants text, not a list\n"
      "c.yaml:5:26: processor all: text: wants text, not a map\n"
      "c.yaml:5:49: processor all: integer: \"${env:CFG_SECRET}\" is no whole number\n"
      "c.yaml:5:80: processor all: duration: \"${CFG_SECRET}\" is no duration; write 5s, 1m30s, "
      "200ms\n" },
    { ALL_FILE "text: '${env:CFG_UNSET}'}}\n",
      "warning: c.yaml:5:7: ${env:CFG_UNSET}: the variable CFG_UNSET is not set; it counts as "
      "empty\n" },
    { ALL_FILE "text: '${vault:x}'}}\n",
      "c.yaml:5:7: ${vault:x}: values come from env: and file: only\n" },
    { ALL_FILE "text: '${1}'}}\n",
      "c.yaml:5:7: ${1}: wants the name of a variable; write $${…} for the text itself\n" },
    { ALL_FILE "text: 'a${b'}}\n",
      "c.yaml:5:7: \"${\" without its closing brace; write $${ for the text itself\n" },
    { ALL_FILE "integer: '${CFG_UNSET:-hunter2}', text: '${1:-hunter2}', truth: *hunter2}}\n",
      NULL },
    { ALL_FILE "integer: '${CFG_UNSET:-hunter2}', text: '${1:-hunter2}'}}\n",
      "c.yaml:5:10: processor all: integer: \"${CFG_UNSET…\" is no whole number\n"
      "c.yaml:5:41: ${1…}: wants the name of a variable; write $${…} for the text itself\n" },
    { ALL_FILE "text: '${file:/nonexistent/f}'}}\n", NULL },
    { "receivers: {otlp: }\nexporters: {otlp: }\nservice: {pipelines: {logs: {receivers: [otlp], "
      "exporters: [otlp]}}}\n",
      "c.yaml:2:13: exporter otlp: \"endpoint\" is missing: help\n" },
    { "receivers: {otlp: }\nexporters: {otlp: {endpoint: a}}\nservice: {pipelines: {logs: "
      "{receivers: [otlp], exporters: [otlp]}}}\n",
      "warning: c.yaml:3:10: no pipeline has the exporter sonde: nothing is stored here, and "
      "queries and the web UI find nothing\n" },
    /* service */
    { RECEIVERS EXPORTERS "service: {pipelines: }\n",
      "c.yaml:3:11: service.pipelines names no pipeline: nothing would run\n"
      "warning: c.yaml:1:13: receiver otlp is defined and not used by any pipeline\n"
      "warning: c.yaml:2:13: exporter sonde is defined and not used by any pipeline\n" },
    { RECEIVERS EXPORTERS
      "service: {pipeline: {}, pipelines: {logs: {receivers: [otlp], exporters: [sonde]}}}\n",
      "c.yaml:3:11: service: unknown option \"pipeline\"; did you mean \"pipelines\"?\n" },
    { RECEIVERS EXPORTERS
      "service: {pipelines: {trace: {receivers: [otlp], exporters: [sonde]}, logs: "
      "{receivers: [otlp], exporters: [sonde]}}}\n",
      "c.yaml:3:23: pipeline \"trace\": unknown signal \"trace\"; did you mean \"traces\"?\n" },
    { RECEIVERS EXPORTERS
      "service: {pipelines: {logs: {receivers: [otlp], processors: [batch], exporters: [sond]}}}\n",
      "c.yaml:3:62: pipeline logs: processor \"batch\" is not defined in processors; there are "
      "none\n"
      "c.yaml:3:82: pipeline logs: exporter \"sond\" is not defined in exporters; did you mean "
      "\"sonde\"?\n"
      "warning: c.yaml:2:13: exporter sonde is defined and not used by any pipeline\n" },
    { RECEIVERS EXPORTERS "service: {pipelines: {logs: {receivers: [], exporters: }}}\n",
      "c.yaml:3:41: pipeline logs has no receivers\n"
      "c.yaml:3:45: pipeline logs has no exporters\n"
      "warning: c.yaml:1:13: receiver otlp is defined and not used by any pipeline\n"
      "warning: c.yaml:2:13: exporter sonde is defined and not used by any pipeline\n" },
    { "receivers: {loki: }\n" EXPORTERS
      "service: {pipelines: {traces: {receivers: [loki], exporters: [sonde]}}}\n",
      "c.yaml:3:44: pipeline traces: receiver loki gives logs, not traces\n" },
    { RECEIVERS EXPORTERS
      "service: {pipelines: {logs: {receivers: [otlp, otlp], exporters: [sonde]}}}\n",
      "c.yaml:3:48: pipeline logs: receiver \"otlp\" stands twice in the list\n" },
    { RECEIVERS EXPORTERS "service: {pipelines: {logs: {receivers: otlp, exporters: [sonde]}}}\n",
      "c.yaml:3:41: pipeline logs: receivers wants a list of ids, not text\n"
      "warning: c.yaml:1:13: receiver otlp is defined and not used by any pipeline\n" },
    { RECEIVERS EXPORTERS
      "service: {pipelines: {logs: {receivers: [otlp], exporter: [], exporters: [sonde]}}}\n",
      "c.yaml:3:49: pipeline logs: unknown option \"exporter\"; did you mean \"exporters\"?\n" },
    { RECEIVERS EXPORTERS "service: {telemetry: {metric: }, pipelines: {logs: {receivers: [otlp], "
                          "exporters: [sonde]}}}\n",
      "c.yaml:3:23: service.telemetry: unknown option \"metric\"; did you mean \"metrics\"?\n"
      "warning: c.yaml:3:22: service.telemetry has no effect here: the server's own metrics are at "
      "/metrics of "
      "its web port, its logs on stderr (--log-level)\n" },
    { RECEIVERS EXPORTERS "service: {extensions: [health_check], pipelines: {logs: {receivers: "
                          "[otlp], exporters: [sonde]}}}\n",
      "c.yaml:3:24: service.extensions: extension \"health_check\" is not defined in extensions; "
      "there are none\n" },
/* who may send */
#define AUTH(id) \
    "receivers: {otlp: {protocols: {grpc: {auth: {authenticator: " id "}}}}}\n" EXPORTERS \
    "extensions: {health_check: , bearertokenauth: }\n" \
    "service: {extensions: [health_check], pipelines: {logs: {receivers: [otlp], exporters: " \
    "[sonde]}}}\n"
#define TOKENS_UNUSED \
    "warning: c.yaml:3:30: extension bearertokenauth is defined and not used by " \
    "service.extensions\n"
    { AUTH("bearer"),
      "c.yaml:1:61: receiver otlp: extension \"bearer\" is not defined in extensions; did you "
      "mean \"bearertokenauth\"?\n" TOKENS_UNUSED },
    { AUTH("bearertokenauth"), "c.yaml:1:61: receiver otlp: authenticator bearertokenauth is not "
                               "in service.extensions\n" TOKENS_UNUSED },
    { AUTH("health_check"),
      "c.yaml:1:61: receiver otlp: extension health_check cannot check who calls\n" TOKENS_UNUSED },
    { "receivers: {otlp: {protocols: {grpc: {auth: {}}}}}\n" EXPORTERS SERVICE,
      "c.yaml:1:45: receiver otlp: protocols.grpc.auth: \"authenticator\" is missing: id of an "
      "extension "
      "that service.extensions names\n" },
    /* connectors */
    { PIPELINES "    logs: {receivers: [otlp], exporters: [forward]}\n"
                "    logs/2: {receivers: [forward], exporters: [forward/2]}\n"
                "    logs/3: {receivers: [forward/2], exporters: [forward, count]}\n"
                "    metrics: {receivers: [count], exporters: [sonde]}\n",
      "c.yaml:5:3: pipelines run in a circle: logs/2 -> forward/2 -> logs/3 -> forward -> "
      "logs/2\n" },
    { PIPELINES "    logs: {receivers: [otlp], exporters: [forward, sonde]}\n"
                "    metrics: {receivers: [count], exporters: [sonde]}\n",
      "c.yaml:3:14: connector forward is an exporter of pipeline logs and a receiver of no "
      "pipeline\n"
      "c.yaml:3:25: connector count is a receiver of pipeline metrics and an exporter of no "
      "pipeline\n"
      "warning: c.yaml:3:34: connector forward/2 is defined and not used by any pipeline\n" },
    { PIPELINES "    metrics: {receivers: [otlp], exporters: [count]}\n"
                "    metrics/2: {receivers: [count], exporters: [sonde]}\n",
      "c.yaml:3:25: connector count takes no metrics: it cannot be an exporter of pipeline "
      "metrics\n"
      "warning: c.yaml:3:14: connector forward is defined and not used by any pipeline\n"
      "warning: c.yaml:3:34: connector forward/2 is defined and not used by any pipeline\n" },
    { PIPELINES "    logs: {receivers: [otlp], exporters: [forward]}\n"
                "    metrics: {receivers: [forward], exporters: [sonde]}\n",
      "c.yaml:3:14: connector forward gives logs from pipeline logs: no logs pipeline has it as a "
      "receiver\n"
      "warning: c.yaml:3:25: connector count is defined and not used by any pipeline\n"
      "warning: c.yaml:3:34: connector forward/2 is defined and not used by any pipeline\n" },
    { "receivers: {otlp: }\nexporters: {sonde: , otlp/x: {endpoint: a}}\nconnectors: {forward/x: "
      "}\nprocessors: {tail_sampling: }\n"
      "service: {pipelines: {metrics: {receivers: [otlp], processors: [tail_sampling], exporters: "
      "[sonde]}}}\n",
      "c.yaml:5:65: pipeline metrics: processor tail_sampling works on traces, not metrics\n"
      "warning: c.yaml:2:22: exporter otlp/x is defined and not used by any pipeline\n"
      "warning: c.yaml:3:14: connector forward/x is defined and not used by any pipeline\n" },
};

typedef struct {
    buf errors, warnings;
} heard;

static void keep(void *user, bool warning, const char *text)
{
    heard *h = user;
    buf_fmt(warning ? &h->warnings : &h->errors, "%s%s\n", warning ? "warning: " : "", text);
}

/* Errors first, then warnings; a file with warnings only is good. */
static void every_error_is_told_with_its_place(void **state)
{
    (void)state;
    setenv("CFG_SECRET", "hunter2", 1);
    unsetenv("CFG_UNSET");
    unsigned failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        config c;
        error err;
        heard h;
        buf_init(&h.errors, MiB(1));
        buf_init(&h.warnings, MiB(1));
        status st = config_parse(&c, "c.yaml", str_c(files[i].text), NULL, keep, &h, &err);
        bool good = (st == STATUS_INVALID) == (h.errors.len > 0);
        if (st == STATUS_OK)
            config_done(&c);
        buf_str(&h.errors, buf_view(&h.warnings));
        if (files[i].said ? !str_is(buf_view(&h.errors), files[i].said) : st != STATUS_INVALID)
            good = false;
        if (str_contains(buf_view(&h.errors), STR("hunter2")))
            good = false;
        if (!good)
            print_error("---- file\n%s---- said\n%.*s---- wanted\n%s\n", files[i].text,
                        STR_ARG(buf_view(&h.errors)), files[i].said ? files[i].said : "an error");
        failed += !good;
        buf_done(&h.errors);
        buf_done(&h.warnings);
    }
    assert_int_equal(failed, 0);
}

static unsigned issues;

static void count(void *user, bool warning, const char *text)
{
    (void)user;
    (void)warning;
    assert_true(strlen(text) > 0 && strlen(text) < 9000);
    issues++;
}

/* Errors without end are cut; memory and time stay bounded. */
static status parse_big(const buf *text)
{
    config c;
    error err;
    issues = 0;
    status st = config_parse(&c, "c.yaml", buf_view(text), NULL, count, NULL, &err);
    if (st == STATUS_OK)
        config_done(&c);
    assert_true(issues <= 202);
    return st;
}

static void huge_files_are_refused(void **state)
{
    buf b;
    (void)state;
    buf_init(&b, MiB(16));
    buf_lit(&b, "receivers:\n");
    for (int i = 0; i < 20000; i++)
        buf_fmt(&b, "  nothing/%d:\n", i);
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_clear(&b);
    for (int i = 0; i < 5000; i++)
        buf_char(&b, '[');
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_clear(&b);
    for (int i = 0; i < 300; i++)
        buf_fmt(&b, "%*sa:\n", i, "");
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_clear(&b);
    while (b.len <= MiB(4))
        buf_lit(&b, "# nothing\n");
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_done(&b);
}

/* Ten aliases of ten aliases of …: small to write, 10^9 nodes to write out. */
static void alias_bombs_do_no_harm(void **state)
{
    buf b;
    (void)state;
    buf_init(&b, MiB(1));
    buf_lit(&b, RECEIVERS EXPORTERS "service: {pipelines: {logs: {receivers: [otlp], processors: "
                                    "[all], exporters: [sonde]}}}\nprocessors: {all: {any: [\n");
    buf_lit(&b, "&a0 [x, x, x, x, x, x, x, x, x, x]");
    for (int i = 1; i < 10; i++) {
        buf_fmt(&b, ",\n&a%d [", i);
        for (int j = 0; j < 10; j++)
            buf_fmt(&b, "%s*a%d", j ? ", " : "", i - 1);
        buf_char(&b, ']');
    }
    buf_lit(&b, "]}}\n");
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_clear(&b);
    buf_lit(&b, "a: &m {");
    for (int i = 0; i < 20000; i++)
        buf_fmt(&b, "k%d: , ", i);
    buf_lit(&b, "}\n");
    for (int i = 0; i < 2000; i++)
        buf_fmt(&b, "b%d: {<<: *m}\n", i);
    assert_int_equal(parse_big(&b), STATUS_INVALID);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_is_told_with_its_place),
        cmocka_unit_test(huge_files_are_refused),
        cmocka_unit_test(alias_bombs_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
