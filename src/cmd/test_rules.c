// SPDX-License-Identifier: Apache-2.0
/* sonde test rules: runs promtool's test files of rules and tells its verdicts. */
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/feature.h"
#include "codec/json.h"
#include "query/promql/ast.h"
#include "query/regex.h"
#include "rules/template.h"
#include "rules/testing/run.h"

#include <stdio.h>
#include <unistd.h>

enum { OUT_MAX = 256 << 20, RUN_MAX = 64, FILES_MAX = 10000 };

static const char usage[] =
    "usage: sonde test rules [OPTION]... FILE...\n"
    "\n"
    "Runs unit tests of rules in promtool's file format; each test has a store of its own, and\n"
    "its time passes by itself.\n"
    "  --run REGEX            only tests whose name matches (may be given again)\n"
    "  --junit FILE           the results as JUnit's XML, too\n"
    "  --json                 the results as JSON, instead of text\n"
    "  --enable-feature LIST  as of `sonde serve`\n"
    "  --templates            instead: what templates in rules can use, as Markdown\n"
    "Exit code 0: all passed; 3: a test failed, or a file is wrong.\n";

typedef struct {
    arena a;
    regex *run[RUN_MAX];
    uint32_t run_count;
    const char *junit;
    bool json;
    uint32_t features;
    test_suite *suites;
    uint32_t suite_count;
} testing;

static int wrong_usage(const char *what, const char *which)
{
    fprintf(stderr, "sonde test: %s%s; `sonde test rules --help` tells more\n", what, which);
    return EXIT_USAGE;
}

static bool is_wanted(void *user, str name)
{
    testing *t = user;
    bool found = t->run_count == 0;
    for (uint32_t i = 0; i < t->run_count && !found; i++)
        if (regex_match(t->run[i], name, &found, NULL) != STATUS_OK)
            found = false;
    return found;
}

/* ---- output ---- */

static void print_suite(const test_suite *s)
{
    printf("Processing test file: %s\n", s->path);
    for (uint32_t i = 0; i < s->warning_count; i++)
        fprintf(stderr, "  WARNING: %.*s\n", STR_ARG(s->warnings[i]));
    fflush(stdout);
    if (!s->problem.len && !s->failed) {
        puts("  SUCCESS\n");
        return;
    }
    fputs("  FAILED:\n", stderr);
    if (s->problem.len)
        fprintf(stderr, "%.*s\n\n", STR_ARG(s->problem));
    for (uint32_t i = 0; i < s->result_count; i++)
        for (uint32_t k = 0; k < s->results[i].failure_count; k++)
            fprintf(stderr, "%.*s\n\n", STR_ARG(s->results[i].failures[k]));
}

static void put_seconds(json_writer *w, int64_t ns)
{
    json_f64(w, (double)ns / (double)NS_PER_S);
}

static void put_suite_json(json_writer *w, const test_suite *s)
{
    json_begin_object(w);
    JSON_PUT(w, str, "file", str_c(s->path));
    JSON_PUT(w, bool, "passed", !s->problem.len && !s->failed);
    if (s->problem.len)
        JSON_PUT(w, str, "problem", s->problem);
    json_key(w, STR("tests"));
    json_begin_array(w);
    for (uint32_t i = 0; i < s->result_count; i++) {
        const test_result *r = &s->results[i];
        json_begin_object(w);
        JSON_PUT(w, str, "name", r->name);
        JSON_PUT(w, bool, "passed", r->failure_count == 0);
        json_key(w, STR("seconds"));
        put_seconds(w, r->duration_ns);
        json_key(w, STR("failures"));
        json_begin_array(w);
        for (uint32_t k = 0; k < r->failure_count; k++)
            json_str(w, r->failures[k]);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static void put_xml(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (str_find_char(STR("<>&\"'"), c) != SIZE_MAX)
            buf_fmt(out, "&#%d;", c);
        else if ((uint8_t)c >= ' ' || c == '\n' || c == '\t')
            buf_char(out, c);
    }
}

static void put_case_junit(buf *out, str name, const str *failures, uint32_t count)
{
    buf_lit(out, "    <testcase name=\"");
    put_xml(out, name);
    buf_lit(out, "\">\n");
    for (uint32_t i = 0; i < count; i++) {
        buf_lit(out, "      <failure>");
        put_xml(out, failures[i]);
        buf_lit(out, "</failure>\n");
    }
    buf_lit(out, "    </testcase>\n");
}

static void put_junit(buf *out, const testing *t)
{
    buf_lit(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (uint32_t i = 0; i < t->suite_count; i++) {
        const test_suite *s = &t->suites[i];
        buf_lit(out, "  <testsuite name=\"");
        put_xml(out, str_c(s->path));
        buf_fmt(out, "\" tests=\"%u\" failures=\"%u\" errors=\"%d\">\n", s->result_count, s->failed,
                s->problem.len > 0);
        if (s->problem.len) {
            buf_lit(out, "    <system-err>");
            put_xml(out, s->problem);
            buf_lit(out, "</system-err>\n");
        }
        for (uint32_t k = 0; k < s->result_count; k++)
            put_case_junit(out, s->results[k].name, s->results[k].failures,
                           s->results[k].failure_count);
        buf_lit(out, "  </testsuite>\n");
    }
    buf_lit(out, "</testsuites>\n");
}

static status write_junit(const testing *t, error *err)
{
    buf out;
    buf_init(&out, OUT_MAX);
    put_junit(&out, t);
    status st = buf_check(&out, err, "the JUnit file");
    FILE *file = st == STATUS_OK ? fopen(t->junit, "we") : NULL;
    if (st == STATUS_OK && (!file || fwrite(out.ptr, 1, out.len, file) != out.len))
        st = fail(err, STATUS_IO, "%s cannot be written", t->junit);
    if (file && fclose(file) != 0 && st == STATUS_OK)
        st = fail(err, STATUS_IO, "%s cannot be written", t->junit);
    buf_done(&out);
    return st;
}

static status write_json(const testing *t, error *err)
{
    buf out;
    buf_init(&out, OUT_MAX);
    json_writer w = json_write(&out);
    json_begin_array(&w);
    for (uint32_t i = 0; i < t->suite_count; i++)
        put_suite_json(&w, &t->suites[i]);
    json_end_array(&w);
    buf_char(&out, '\n');
    status st = buf_check(&out, err, "the output");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, err);
    buf_done(&out);
    return st;
}

/* ---- running ---- */

static int finish(const testing *t, int code)
{
    error err;
    status st = t->json ? write_json(t, &err) : STATUS_OK;
    if (st == STATUS_OK && t->junit)
        st = write_junit(t, &err);
    if (st == STATUS_OK)
        return code;
    fprintf(stderr, "sonde test: %s\n", err.message);
    return EXIT_FAILED;
}

static int run_files(testing *t, int count, char **paths)
{
    int code = EXIT_GOOD;
    t->suites = ARENA_ARRAY(&t->a, test_suite, (size_t)count);
    if (!t->suites)
        return EXIT_FAILED;
    for (int i = 0; i < count; i++) {
        test_suite *s = &t->suites[t->suite_count++];
        test_options options = { .wanted = is_wanted, .user = t, .features = t->features };
        error err;
        status st = test_file_run(&t->a, paths[i], &options, s, &err);
        if (st != STATUS_OK && st != STATUS_INVALID)
            code = EXIT_FAILED;
        else if (code == EXIT_GOOD && (st != STATUS_OK || s->failed))
            code = EXIT_PROBLEMS;
        if (!t->json)
            print_suite(s);
    }
    return finish(t, code);
}

/* One option with its value; 0, or how many arguments it took, or -1: told what is wrong. */
static int take_option(testing *t, int argc, char **argv)
{
    str name = str_c(argv[0]);
    if (str_is(name, "--json")) {
        t->json = true;
        return 1;
    }
    bool run = str_is(name, "--run"), junit = str_is(name, "--junit"),
         feature = str_is(name, "--enable-feature");
    if (!run && !junit && !feature)
        return wrong_usage(argv[0], " is no option"), -1;
    if (argc < 2)
        return wrong_usage(argv[0], " wants a value"), -1;
    error err;
    if (junit)
        t->junit = argv[1];
    if (feature && !feature_all_known(argv[1]))
        return wrong_usage("no such feature: ", argv[1]), -1;
    if (feature)
        t->features |= feature_bits(argv[1]);
    if (run && t->run_count == RUN_MAX)
        return wrong_usage("--run is given too often", ""), -1;
    if (run && regex_compile(&t->run[t->run_count++], str_c(argv[1]), REGEX_SEARCH, &t->a, &err) !=
                   STATUS_OK)
        return wrong_usage("--run: ", err.message), -1;
    return 2;
}

static int print_templates(void)
{
    buf out;
    error err;
    buf_init(&out, OUT_MAX);
    template_write_reference(&out);
    status st = buf_check(&out, &err, "the output");
    if (st == STATUS_OK)
        st = file_write_all(STDOUT_FILENO, out.ptr, out.len, &err);
    buf_done(&out);
    if (st != STATUS_OK)
        fprintf(stderr, "sonde test: %s\n", err.message);
    return st == STATUS_OK ? EXIT_GOOD : EXIT_FAILED;
}

static int test_rules(int argc, char **argv)
{
    if (argc == 1 && str_is(str_c(argv[0]), "--templates"))
        return print_templates();
    testing t = { .features = 0 };
    int i = 0, code = EXIT_USAGE;
    arena_init(&t.a, 0);
    while (i < argc && argv[i][0] == '-' && argv[i][1]) {
        int taken = take_option(&t, argc - i, argv + i);
        if (taken < 0)
            goto done;
        i += taken;
    }
    if (i >= argc)
        wrong_usage("rules wants a test file", "");
    else if (argc - i > FILES_MAX)
        wrong_usage("too many files", "");
    else
        code = run_files(&t, argc - i, argv + i);
done:
    arena_done(&t.a);
    return code;
}

int cmd_test(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (str_is(str_c(argv[i]), "--help") || str_is(str_c(argv[i]), "-h")) {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
    if (argc < 2)
        return wrong_usage("it wants to know what to test: rules", "");
    if (!str_is(str_c(argv[1]), "rules"))
        return wrong_usage(argv[1], " is nothing to test; rules are");
    return test_rules(argc - 2, argv + 2);
}
