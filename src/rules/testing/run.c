// SPDX-License-Identifier: Apache-2.0
/* Runs test files: loads samples as the test's clock reaches them, evaluates the groups at each
 * step, compares alerts and, at the end, expressions. */
#include "rules/testing/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "query/promql/histogram.h"
#include "rules/group_internal.h"
#include "rules/paths.h"
#include "rules/testing/compare.h"
#include "settings/yaml.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define STEP_MEMORY     GiB(1)
#define FAILURES_MAX    1000       /* of one test */
#define SHARED_MEMORY   "/dev/shm" /* stores need no disk there */
#define SHARED_NEEDED   MiB(256)   /* free, to be used */
#define EVALUATIONS_MAX 10000000   /* of one test */

typedef struct {
    arena *a; /* of the suite */
    const test_options *options;
    const test_file *file;
    const test_group *test;
    test_result *result;
    store *store;
    rule_group **groups;
    uint32_t group_count;
    uint32_t *loaded; /* values of each series that the store has */
    const histogram **last;
    arena step; /* cleared at each step */
    uint32_t capacity;
} run;

/* ---- failures ---- */

static status add_failure(run *r, str text)
{
    test_result *t = r->result;
    if (t->failure_count >= FAILURES_MAX)
        return STATUS_OK;
    if (t->failure_count == r->capacity) {
        uint32_t more = r->capacity ? r->capacity * 2 : 8;
        str *grown =
            arena_grow(r->a, t->failures, t->failure_count * sizeof(str), more * sizeof(str));
        if (!grown)
            return STATUS_NO_MEMORY;
        t->failures = grown;
        r->capacity = more;
    }
    str copy = arena_str(r->a, text);
    if (!copy.ptr)
        return STATUS_NO_MEMORY;
    t->failures[t->failure_count++] = copy;
    return STATUS_OK;
}

static status add_failure_buf(run *r, buf *b)
{
    status st = b->failed ? STATUS_NO_MEMORY : add_failure(r, buf_view(b));
    buf_done(b);
    return st;
}

/* ---- input ---- */

/* What Prometheus's storage says of a counter's restart between a histogram and the one before. */
static const histogram *stored_histogram(run *r, const series_text_value *v, const histogram *last)
{
    if (v->histogram->hint != HISTOGRAM_RESET_UNKNOWN || !last)
        return v->histogram;
    histogram_hint hint =
        histogram_detect_reset(v->histogram, last) ? HISTOGRAM_RESET : HISTOGRAM_NO_RESET;
    return histogram_with_hint(&r->step, v->histogram, hint);
}

static bool load_value(run *r, uint32_t s, rule_samples *list)
{
    const test_series *series = &r->test->series[s];
    const series_text_value *v = &series->values.items[r->loaded[s]];
    rule_sample sample = { .labels = series->labels, .value = v->value };
    if (v->kind == SERIES_OMITTED)
        return true;
    sample.stale = v->kind == SERIES_STALE;
    if (v->kind == SERIES_HISTOGRAM) {
        sample.histogram = stored_histogram(r, v, r->last[s]);
        if (!sample.histogram)
            return false;
    }
    r->last[s] = v->histogram;
    return rule_samples_add(&r->step, list, sample);
}

/* The samples of one moment. */
static status load_at(run *r, int64_t index, error *err)
{
    rule_samples list = { 0 };
    arena_clear(&r->step);
    for (uint32_t s = 0; s < r->test->series_count; s++) {
        if (r->loaded[s] >= r->test->series[s].values.count || r->loaded[s] != index)
            continue;
        if (!load_value(r, s, &list))
            return fail(err, STATUS_LIMIT, "the input series take more memory than they may");
        r->loaded[s]++;
    }
    return rule_write(r->store, &list, r->test->start_ms + index * r->test->interval_ms, err);
}

static uint32_t longest(const test_group *t)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < t->series_count; s++)
        n = MAX(n, t->series[s].values.count);
    return n;
}

/* ---- alerts ---- */

static status collect_alerts(run *r, str name, alert_list *ret, error *err)
{
    *ret = (alert_list){ 0 };
    for (uint32_t g = 0; g < r->group_count; g++) {
        group_view view;
        status st = rule_group_view(r->groups[g], true, &r->step, &view, err);
        if (st != STATUS_OK)
            return st;
        for (uint32_t i = 0; i < view.rule_count; i++) {
            const rule_view *rule = &view.rules[i];
            if (!rule->alerting || !str_eq(rule->name, name))
                continue;
            for (uint32_t k = 0; k < rule->alert_count; k++)
                if (rule->alerts[k].state == ALERT_FIRING &&
                    !alert_list_add(&r->step, ret, rule->alerts[k].labels,
                                    rule->alerts[k].annotations))
                    return fail(err, STATUS_LIMIT, "the alerts take more memory than they may");
        }
    }
    return STATUS_OK;
}

static void print_test_name(buf *b, const test_group *t)
{
    if (t->name.len)
        buf_fmt(b, "    name: %.*s,\n", STR_ARG(t->name));
}

static status check_alerts(run *r, const test_alert_case *c, error *err)
{
    alert_list got, wanted = { 0 };
    arena_clear(&r->step);
    status st = collect_alerts(r, c->alertname, &got, err);
    for (uint32_t i = 0; st == STATUS_OK && i < c->alert_count; i++)
        if (!alert_list_add(&r->step, &wanted, c->alerts[i].labels, c->alerts[i].annotations))
            st = fail(err, STATUS_LIMIT, "the alerts take more memory than they may");
    if (st != STATUS_OK || alert_lists_equal(&wanted, &got))
        return st;
    buf b;
    buf_init(&b, MiB(16));
    print_test_name(&b, r->test);
    buf_fmt(&b, "    alertname: %.*s, time: ", STR_ARG(c->alertname));
    print_prometheus_duration(&b, c->eval_ms);
    buf_lit(&b, ", \n        exp:");
    alert_list_print(&b, &wanted);
    buf_lit(&b, ", \n        got:");
    alert_list_print(&b, &got);
    return add_failure_buf(r, &b);
}

/* Alerts are asked for at times in [at, at + step): they are those of this evaluation. */
static status check_alerts_of_step(run *r, int64_t at_ms, error *err)
{
    for (uint32_t i = 0; i < r->test->alert_count; i++) {
        const test_alert_case *c = &r->test->alerts[i];
        if (c->eval_ms < at_ms || c->eval_ms >= at_ms + r->file->interval_ms)
            continue;
        status st = check_alerts(r, c, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- evaluation ---- */

static status tell_rule_errors(run *r, int64_t time_ms, bool *ret_any)
{
    for (uint32_t g = 0; g < r->group_count; g++)
        for (uint32_t i = 0; i < r->groups[g]->rule_count; i++) {
            const rule *one = &r->groups[g]->rules[i];
            if (!one->last_error)
                continue;
            buf b;
            buf_init(&b, MiB(1));
            buf_fmt(&b, "    rule: %.*s, time: ", STR_ARG(one->name));
            print_go_duration(&b, time_ms);
            buf_fmt(&b, ", err: %s", one->last_error);
            *ret_any = true;
            status st = add_failure_buf(r, &b);
            if (st != STATUS_OK)
                return st;
        }
    return STATUS_OK;
}

static int64_t last_time(const test_group *t)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < t->alert_count; i++)
        last = MAX(last, t->alerts[i].eval_ms);
    for (uint32_t i = 0; i < t->expr_count; i++)
        last = MAX(last, t->exprs[i].eval_ms);
    return last;
}

static status simulate(run *r, bool *ret_rules_failed, error *err)
{
    const test_group *t = r->test;
    int64_t end = last_time(t), step = r->file->interval_ms, next = 0;
    uint32_t values = longest(t);
    if (end / step >= EVALUATIONS_MAX)
        return fail(err, STATUS_LIMIT, "the test needs %lld evaluations, the limit is %d",
                    (long long)(end / step), EVALUATIONS_MAX);
    for (int64_t at = 0; at <= end; at += step) {
        status st = STATUS_OK;
        for (; st == STATUS_OK && next < values && next * t->interval_ms <= at; next++)
            st = load_at(r, next, err);
        for (uint32_t g = 0; st == STATUS_OK && g < r->group_count; g++)
            rule_group_eval(r->groups[g], t->start_ms + at, NULL);
        if (st == STATUS_OK)
            st = tell_rule_errors(r, t->start_ms + at, ret_rules_failed);
        if (st != STATUS_OK || *ret_rules_failed)
            return st;
        st = check_alerts_of_step(r, at, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- expressions ---- */

static status evaluate(run *r, const test_expr_case *c, promql_result *ret, error *err)
{
    const promql_node *query = NULL;
    int64_t at = r->test->start_ms + c->eval_ms;
    promql_options options = { .start_ms = at,
                               .end_ms = at,
                               .step_ms = 1,
                               .default_step_ms = r->file->interval_ms,
                               .features = r->options->features };
    status st = promql_parse(&query, c->expr, r->options->features, &r->step, err);
    if (st == STATUS_OK)
        st = promql_instant(r->store, query, c->expr, &options, &r->step, ret, err);
    if (st == STATUS_OK && ret->type != PROMQL_VECTOR && ret->type != PROMQL_SCALAR)
        st = fail(err, STATUS_INVALID, "rule result is not a vector or scalar");
    return st;
}

static void print_expr_place(buf *b, const test_expr_case *c)
{
    buf_lit(b, "    expr: ");
    print_quoted(b, c->expr);
    buf_lit(b, ", time: ");
    print_prometheus_duration(b, c->eval_ms);
}

static bool got_samples(run *r, const promql_result *result, wanted_samples *ret)
{
    for (uint32_t i = 0; i < result->count; i++) {
        const promql_series *s = &result->series[i];
        const histogram *h = s->histograms ? s->histograms[0] : NULL;
        test_sample sample = { s->labels, h ? 0 : s->value[0], STR_EMPTY };
        if (h) {
            buf text;
            buf_init(&text, MiB(1));
            series_text_print_histogram(&text, h);
            sample.histogram =
                text.failed ? (str){ NULL, 0 } : arena_str(&r->step, buf_view(&text));
            buf_done(&text);
            if (!sample.histogram.ptr)
                return false;
        }
        if (!wanted_samples_add(&r->step, ret, &sample))
            return false;
    }
    return true;
}

static status check_expr(run *r, const test_expr_case *c)
{
    promql_result result = { 0 };
    wanted_samples wanted = { 0 }, got = { 0 };
    error problem = { 0 };
    arena_clear(&r->step);
    status st = evaluate(r, c, &result, &problem);
    if (st == STATUS_OK && c->problem.len)
        st = fail(&problem, STATUS_INVALID, "%.*s", STR_ARG(c->problem));
    bool room = st != STATUS_OK || got_samples(r, &result, &got);
    for (uint32_t i = 0; room && i < c->sample_count && !c->problem.len; i++)
        room = wanted_samples_add(&r->step, &wanted, &c->samples[i]);
    if (!room)
        st = fail(&problem, STATUS_LIMIT, "the result takes more memory than it may");
    if (st == STATUS_OK && wanted_samples_equal(&wanted, &got, r->file->fuzzy))
        return STATUS_OK;
    buf b;
    buf_init(&b, MiB(16));
    print_expr_place(&b, c);
    if (st != STATUS_OK) {
        buf_fmt(&b, ", err: %s", problem.message);
    } else {
        buf_lit(&b, ",\n        exp: ");
        wanted_samples_print(&b, &wanted);
        buf_lit(&b, "\n        got: ");
        wanted_samples_print(&b, &got);
    }
    return add_failure_buf(r, &b);
}

/* ---- a test's surroundings ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static const char *store_folder(const test_options *options)
{
    struct statvfs space;
    if (options->folder)
        return options->folder;
    if (statvfs(SHARED_MEMORY, &space) == 0 &&
        (uint64_t)space.f_bavail * space.f_frsize >= SHARED_NEEDED)
        return SHARED_MEMORY;
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

static status take_group(run *r, const rule_file *f, const rule_group_definition *d, error *err)
{
    rules_options options = { .store = r->store,
                              .interval_ms = r->file->interval_ms,
                              .external_labels = r->test->external_labels.items,
                              .external_label_count = r->test->external_labels.count,
                              .external_url = r->test->external_url,
                              .features = r->options->features };
    rule_group **grown = arena_grow(r->a, r->groups, r->group_count * sizeof(void *),
                                    (r->group_count + 1) * sizeof(void *));
    if (!grown)
        return fail(err, STATUS_LIMIT, "no memory for the groups");
    r->groups = grown;
    status st = rule_group_new(&r->groups[r->group_count], &options, f->path, d, true, err);
    r->group_count += st == STATUS_OK;
    return st;
}

static uint32_t order_of(const run *r, const rule_group *g)
{
    for (uint32_t i = 0; i < r->file->order_count; i++)
        if (str_eq(r->file->order[i], g->name))
            return i;
    return 0; /* as promtool has it: beside the first one */
}

/* Groups that stand at the same place stay in the order of their files. */
static void order_groups(run *r)
{
    for (uint32_t i = 1; i < r->group_count; i++)
        for (uint32_t k = i; k > 0 && order_of(r, r->groups[k]) < order_of(r, r->groups[k - 1]);
             k--) {
            rule_group *swapped = r->groups[k];
            r->groups[k] = r->groups[k - 1];
            r->groups[k - 1] = swapped;
        }
}

static status run_in_store(run *r, const rule_file *files, uint32_t file_count, error *err)
{
    for (uint32_t f = 0; f < file_count; f++)
        for (uint32_t g = 0; g < files[f].group_count; g++) {
            status st = take_group(r, &files[f], &files[f].groups[g], err);
            if (st != STATUS_OK)
                return st;
        }
    order_groups(r);
    bool rules_failed = false;
    status st = simulate(r, &rules_failed, err);
    for (uint32_t i = 0; st == STATUS_OK && !rules_failed && i < r->test->expr_count; i++)
        st = check_expr(r, &r->test->exprs[i]);
    return st;
}

static status run_test(run *r, const rule_file *files, uint32_t file_count, error *err)
{
    char folder[4096];
    int64_t began = clock_mono_ns();
    snprintf(folder, sizeof(folder), "%s/sonde-test-XXXXXX", store_folder(r->options));
    r->loaded = ARENA_ARRAY(r->a, uint32_t, (size_t)r->test->series_count + 1);
    r->last = ARENA_ARRAY(r->a, const histogram *, (size_t)r->test->series_count + 1);
    if (!r->loaded || !r->last)
        return fail(err, STATUS_LIMIT, "no memory for the test's series");
    if (!mkdtemp(folder))
        return fail_errno(err, errno, "%s", folder);
    store_options options = { .dir = folder,
                              .memory_limit = GiB(2),
                              .seal_after_ns = INT64_MAX / 4,
                              .intake_limit = GiB(4) };
    status st = store_open(&r->store, &options, err);
    if (st == STATUS_OK) {
        arena_init(&r->step, STEP_MEMORY);
        st = run_in_store(r, files, file_count, err);
        for (uint32_t i = 0; i < r->group_count; i++)
            rule_group_free(r->groups[i]);
        arena_done(&r->step);
        store_close(r->store);
    }
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    r->result->duration_ns = clock_mono_ns() - began;
    return st;
}

/* ---- files ---- */

typedef struct {
    arena *a;
    rule_file *items;
    uint32_t count;
    buf problems;
} rule_files;

static void note_issue(void *user, bool warning, const char *text)
{
    rule_files *files = user;
    if (!warning)
        buf_fmt(&files->problems, "%s%s", files->problems.len ? "\n" : "", text);
}

static bool warn(arena *a, test_suite *suite, str pattern)
{
    str *grown = arena_grow(a, suite->warnings, suite->warning_count * sizeof(str),
                            (suite->warning_count + 1) * sizeof(str));
    if (!grown)
        return false;
    suite->warnings = grown;
    grown[suite->warning_count] = arena_fmt(a, "no file match pattern %.*s", STR_ARG(pattern));
    return grown[suite->warning_count++].ptr != NULL;
}

static status read_rules(const test_file *f, const test_options *options, test_suite *suite,
                         rule_files *ret, error *err)
{
    for (uint32_t i = 0; i < f->rule_file_count; i++) {
        rule_paths paths = { 0 };
        error ignored;
        status st = rule_paths_find(&f->rule_files[i], 1, ret->a, &paths, &ignored);
        if ((st != STATUS_OK || !paths.count) && !warn(ret->a, suite, f->rule_files[i]))
            return STATUS_NO_MEMORY;
        rule_file *grown = arena_grow(ret->a, ret->items, ret->count * sizeof(rule_file),
                                      (ret->count + paths.count + 1) * sizeof(rule_file));
        if (!grown)
            return fail(err, STATUS_LIMIT, "no memory for the rule files");
        ret->items = grown;
        for (uint32_t k = 0; k < paths.count; k++) {
            st = rule_file_read(&ret->items[ret->count], paths.items[k], options->features,
                                note_issue, ret, err);
            if (st != STATUS_OK)
                return st;
            ret->count++;
        }
    }
    return STATUS_OK;
}

static status run_tests(arena *a, const test_file *f, const test_options *options,
                        const rule_files *files, test_suite *ret, error *err)
{
    ret->results = ARENA_ARRAY(a, test_result, (size_t)f->test_count + 1);
    if (!ret->results)
        return fail(err, STATUS_LIMIT, "no memory for the tests");
    for (uint32_t i = 0; i < f->test_count; i++) {
        if (options->wanted && !options->wanted(options->user, f->tests[i].name))
            continue;
        test_result *result = &ret->results[ret->result_count++];
        result->name = f->tests[i].name.len ? f->tests[i].name : arena_fmt(a, "unnamed#%u", i);
        run r = { .a = a, .options = options, .file = f, .test = &f->tests[i], .result = result };
        error problem = { 0 };
        status st = run_test(&r, files->items, files->count, &problem);
        if (st != STATUS_OK)
            st = add_failure(&r, str_c(problem.message));
        if (st != STATUS_OK)
            return fail(err, STATUS_LIMIT, "no memory for the results");
        ret->failed += result->failure_count > 0;
    }
    return STATUS_OK;
}

static status parse_suite(arena *a, const char *path, test_file *ret, error *err)
{
    buf text;
    buf_init(&text, YAML_BYTES_MAX + 1);
    status st = file_read(path, &text, err);
    str copy = st == STATUS_OK ? arena_str(a, buf_view(&text)) : STR_EMPTY;
    buf_done(&text);
    if (st != STATUS_OK)
        return STATUS_IO;
    return copy.ptr ? test_file_parse(a, path, copy, ret, err)
                    : fail(err, STATUS_LIMIT, "no memory for %s", path);
}

status test_file_run(arena *a, const char *path, const test_options *options, test_suite *ret,
                     error *err)
{
    test_file f;
    rule_files files = { .a = a };
    *ret = (test_suite){ .path = path };
    buf_init(&files.problems, MiB(1));
    status st = parse_suite(a, path, &f, err);
    if (st == STATUS_OK)
        st = read_rules(&f, options, ret, &files, err);
    if (st == STATUS_OK)
        st = run_tests(a, &f, options, &files, ret, err);
    if (st != STATUS_OK)
        ret->problem = files.problems.len ? arena_str(a, buf_view(&files.problems))
                                          : arena_str(a, str_c(err->message));
    for (uint32_t i = 0; i < files.count; i++)
        rule_file_done(&files.items[i]);
    buf_done(&files.problems);
    return st;
}
