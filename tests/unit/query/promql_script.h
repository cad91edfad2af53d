// SPDX-License-Identifier: Apache-2.0
/* Reads test scripts in Prometheus's promqltest notation (load, clear, eval instant, eval range,
 * expect …) and runs them against the evaluator over the fake store. Included by one test. */
#ifndef SONDE_TESTS_PROMQL_SCRIPT_H
#define SONDE_TESTS_PROMQL_SCRIPT_H

#include "query/promql/promql.h"
#include "unit/query/fake_store.h"

#include "base/clock.h"
#include "base/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define SCRIPT_MAX_VALUES 4096
/* What the scripts take for granted. Names are removed at once, except below "delay_names";
 * tests/e2e has them delayed. */
#define SCRIPT_FEATURES \
    (PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_DURATION_EXPR | PROMQL_EXTENDED_RANGE_SELECTORS | \
     PROMQL_BINOP_FILL_MODIFIERS)

typedef struct {
    labels labels; /* empty for a scalar */
    bool is_scalar;
    double value[SCRIPT_MAX_VALUES];
    bool present[SCRIPT_MAX_VALUES];
    uint32_t count;
    bool seen;
} script_expected;

typedef struct {
    const char *path;
    str rest; /* lines not read yet */
    uint32_t line;
    arena arena; /* of one case */
    store *store;
    str_list without; /* metrics of the block that this build cannot load (native histograms) */
    arena block;      /* of the names in it */
    bool verbose;
    uint32_t features;
    uint32_t passed, failed, skipped;
} script;

/* One eval with everything that stands below it. */
typedef struct {
    bool range, fail, ordered, warn, no_warn, info, no_info;
    bool native; /* expects a native histogram */
    bool has_string;
    str string, fail_text, expression;
    int64_t start_ms, end_ms, step_ms;
    script_expected *expected;
    uint32_t expected_count;
    uint32_t line;
} script_eval;

static bool script_almost_equal(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (a == b)
        return true;
    if (isinf(a) || isinf(b))
        return false;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < 2.3e-308)
        return difference < 1e-6 * 2.3e-308;
    return difference / fmin(sum, 1.79e308) < 1e-6;
}

static str script_next_line(script *s, bool *ret_any)
{
    *ret_any = s->rest.len > 0;
    s->line++;
    return str_cut(s->rest, '\n', &s->rest);
}

static str script_word(str *text)
{
    *text = str_trim(*text);
    size_t n = 0;
    while (n < text->len && text->ptr[n] != ' ' && text->ptr[n] != '\t')
        n++;
    str word = str_slice(*text, 0, n);
    *text = str_trim(str_slice(*text, n, text->len));
    return word;
}

static int64_t script_ms(str text)
{
    int64_t ns = 0;
    bool negative = str_starts(text, STR("-"));
    if (negative)
        text = str_slice(text, 1, text.len);
    double seconds;
    if (str_to_f64(text, &seconds))
        ns = (int64_t)(seconds * 1e9);
    else if (!clock_parse_duration(text, &ns))
        assert(!"a duration that cannot be read");
    return (negative ? -ns : ns) / NS_PER_MS;
}

/* Splits "metric{a="b"} rest" behind the labels. */
static str script_series_text(str line, str *rest)
{
    size_t i = 0;
    bool braces = false;
    char quote = 0;
    for (; i < line.len; i++) {
        char c = line.ptr[i];
        if (quote) {
            if (c == '\\')
                i++;
            else if (c == quote)
                quote = 0;
            continue;
        }
        if (braces && (c == '"' || c == '\'' || c == '`'))
            quote = c;
        else if (c == '{' && !(i + 1 < line.len && line.ptr[i + 1] == '{'))
            braces = true;
        else if (c == '}' && braces) {
            i++;
            break;
        } else if (!braces && (c == ' ' || c == '\t')) {
            /* metric {labels} */
            str after = str_trim(str_slice(line, i, line.len));
            if (!(after.len && after.ptr[0] == '{' && !str_starts(after, STR("{{"))))
                break;
        }
    }
    *rest = str_trim(str_slice(line, i, line.len));
    return str_slice(line, 0, i);
}

static bool script_labels(script *s, str text, labels *ret)
{
    const promql_node *n;
    error err;
    *ret = (labels){ 0 };
    if (str_is(str_trim(text), "{}"))
        return true;
    /* A selector that matches only empty values is refused, so give it company. */
    str query = arena_fmt(&s->arena, "%.*s", STR_ARG(text));
    if (promql_parse_selector(&n, query, &s->arena, &err) != STATUS_OK)
        return false;
    label *items = ARENA_ARRAY(&s->arena, label, n->selector.matcher_count);
    for (uint32_t i = 0; i < n->selector.matcher_count; i++)
        items[i] = (label){ n->selector.matchers[i].name, n->selector.matchers[i].value };
    *ret = labels_sort(items, n->selector.matcher_count);
    return true;
}

static void script_put(script_expected *e, double v, bool present)
{
    assert(e->count < SCRIPT_MAX_VALUES);
    e->value[e->count] = v;
    e->present[e->count++] = present;
}

static double script_number(str text)
{
    double v;
    if (str_is(text, "stale")) {
        uint64_t bits = STALE_NAN_BITS;
        memcpy(&v, &bits, sizeof(v));
        return v;
    }
    if (!str_to_f64(text, &v)) {
        fprintf(stderr, "not a number: %.*s\n", STR_ARG(text));
        abort();
    }
    return v;
}

/* One item of a sequence: 5, _, stale, 1x3, 1+2x3, 1-2x3, _x4. */
static void script_item(str item, script_expected *ret)
{
    size_t x = str_find_char(item, 'x'), step = SIZE_MAX;
    if (x == SIZE_MAX) {
        bool absent = str_is(item, "_");
        script_put(ret, absent ? 0 : script_number(item), !absent);
        return;
    }
    uint64_t times;
    if (!str_to_u64(str_slice(item, x + 1, item.len), &times))
        abort();
    str base = str_slice(item, 0, x);
    if (str_is(base, "_")) {
        for (uint64_t i = 0; i < times; i++)
            script_put(ret, 0, false);
        return;
    }
    for (size_t i = 1; i < base.len; i++)
        if ((base.ptr[i] == '+' || base.ptr[i] == '-') && base.ptr[i - 1] != 'e' &&
            base.ptr[i - 1] != 'E')
            step = i;
    double first = script_number(str_slice(base, 0, MIN(step, base.len)));
    double by = step == SIZE_MAX ? 0 : script_number(str_slice(base, step, base.len));
    for (uint64_t i = 0; i <= times; i++)
        script_put(ret, first + by * (double)i, true);
}

static void script_sequence(str text, script_expected *ret)
{
    for (str item = script_word(&text); item.len; item = script_word(&text))
        script_item(item, ret);
}

static void script_load(script *s, str arguments)
{
    int64_t gap = script_ms(script_word(&arguments));
    script_expected *e = ARENA_NEW(&s->arena, script_expected);
    while (s->rest.len && (s->rest.ptr[0] == ' ' || s->rest.ptr[0] == '\t')) {
        bool any;
        str line = str_trim(script_next_line(s, &any)), sequence;
        if (!line.len || line.ptr[0] == '#')
            continue;
        str name = script_series_text(line, &sequence);
        e->count = 0;
        labels l;
        if (str_contains(sequence, STR("{{")) || str_contains(sequence, STR("@")) ||
            !script_labels(s, name, &l)) {
            fake_add_name(&s->block, &s->without, str_cut(name, '{', &(str){ 0 }));
            continue;
        }
        script_sequence(sequence, e);
        int64_t *times = ARENA_ARRAY(&s->arena, int64_t, e->count + 1);
        double *v = ARENA_ARRAY(&s->arena, double, e->count + 1);
        uint32_t n = 0;
        for (uint32_t i = 0; i < e->count; i++) {
            if (!e->present[i])
                continue;
            times[n] = (int64_t)i * gap;
            v[n++] = e->value[i];
        }
        fake_add_samples(s->store, l, times, v, n);
    }
}

static void script_expect(script *s, script_eval *ev, str text)
{
    str what = script_word(&text);
    if (str_is(what, "fail")) {
        ev->fail = true;
        if (str_starts(text, STR("msg:")))
            ev->fail_text = str_trim(str_slice(text, 4, text.len));
    } else if (str_is(what, "ordered")) {
        ev->ordered = true;
    } else if (str_is(what, "warn")) {
        ev->warn = true;
    } else if (str_is(what, "no_warn")) {
        ev->no_warn = true;
    } else if (str_is(what, "info")) {
        ev->info = true;
    } else if (str_is(what, "no_info")) {
        ev->no_info = true;
    } else if (str_is(what, "string")) {
        const promql_node *n;
        if (promql_parse(&n, text, 0, &s->arena, NULL) == STATUS_OK && n->kind == NODE_STRING) {
            ev->has_string = true;
            ev->string = n->string;
        }
    } else if (str_is(what, "range")) {
        /* expect range vector from A to B step S: an instant query for a range vector. */
        script_word(&text), script_word(&text);
        ev->start_ms = script_ms(script_word(&text));
        script_word(&text);
        ev->end_ms = script_ms(script_word(&text));
        script_word(&text);
        ev->step_ms = script_ms(script_word(&text));
    }
}

static void script_expected_line(script *s, script_eval *ev, str line)
{
    if (str_starts(line, STR("expect ")) || str_is(line, "expect")) {
        script_expect(s, ev, str_slice(line, 7, line.len));
        return;
    }
    if (str_starts(line, STR("expected_fail_"))) {
        return;
    }
    script_expected *e = ARENA_NEW(&s->arena, script_expected);
    str sequence;
    char c = line.ptr[0];
    double number;
    if (str_contains(line, STR("{{"))) {
        ev->native = true;
        return;
    }
    if (str_to_f64(line, &number)) {
        e->is_scalar = true;
        script_put(e, number, true);
    } else if (c == '"' || c == '\'' || c == '`') {
        str text = arena_fmt(&s->arena, "string %.*s", STR_ARG(line));
        script_expect(s, ev, text);
        return;
    } else {
        str name = script_series_text(line, &sequence);
        if (!script_labels(s, name, &e->labels)) {
            ev->native = true;
            return;
        }
        script_sequence(sequence, e);
    }
    script_expected *grown =
        arena_grow(&s->arena, ev->expected, ev->expected_count * sizeof(*grown),
                   (ev->expected_count + 1) * sizeof(*grown));
    grown[ev->expected_count++] = *e;
    ev->expected = grown;
}

/* ---- judging ---- */

static bool script_wrong(const script *s, const script_eval *ev, const char *format, ...)
    PRINTF_LIKE(3, 4);

static bool script_wrong(const script *s, const script_eval *ev, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (s->verbose)
        fprintf(stderr, "%s:%u: %.*s\n    %s\n", s->path, ev->line, STR_ARG(ev->expression), text);
    return false;
}

static const char *script_label_text(script *s, labels l)
{
    buf text;
    buf_init(&text, 0);
    labels_print(&text, l);
    str copy = arena_str(&s->arena, buf_view(&text));
    buf_done(&text);
    return copy.ptr;
}

static bool script_check_series(script *s, const script_eval *ev, const promql_series *got,
                                const script_expected *want)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < want->count; i++) {
        int64_t at = ev->start_ms + (int64_t)i * ev->step_ms;
        if (!want->present[i])
            continue;
        if (k == got->count || got->time_ms[k] != at)
            return script_wrong(s, ev, "%s: no value at %.3f s", script_label_text(s, got->labels),
                                (double)at / 1000);
        if (!script_almost_equal(got->value[k], want->value[i]))
            return script_wrong(s, ev, "%s: %.17g at %.3f s, expected %.17g",
                                script_label_text(s, got->labels), got->value[k], (double)at / 1000,
                                want->value[i]);
        k++;
    }
    if (k != got->count)
        return script_wrong(s, ev, "%s: %u values, expected %u", script_label_text(s, got->labels),
                            got->count, k);
    return true;
}

static bool script_check_values(script *s, script_eval *ev, const promql_result *r, bool order)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const promql_series *got = &r->series[i];
        script_expected *want = NULL;
        uint32_t place = 0;
        for (uint32_t k = 0; k < ev->expected_count && !want; k++) {
            if (!ev->expected[k].seen && labels_eq(ev->expected[k].labels, got->labels)) {
                want = &ev->expected[k];
                place = k;
            }
        }
        if (!want)
            return script_wrong(s, ev, "unexpected series %s = %g",
                                script_label_text(s, got->labels), got->value[0]);
        want->seen = true;
        if (order && ev->ordered && place != i)
            return script_wrong(s, ev, "%s at position %u, expected %u",
                                script_label_text(s, got->labels), i + 1, place + 1);
        if (!script_check_series(s, ev, got, want))
            return false;
    }
    for (uint32_t k = 0; k < ev->expected_count; k++) {
        bool any = false;
        for (uint32_t i = 0; i < ev->expected[k].count; i++)
            any = any || ev->expected[k].present[i];
        if (any && !ev->expected[k].seen)
            return script_wrong(s, ev, "missing series %s",
                                script_label_text(s, ev->expected[k].labels));
        ev->expected[k].seen = false;
    }
    return true;
}

static bool script_check_notes(script *s, const script_eval *ev, const promql_notes *notes)
{
    uint32_t warnings = 0;
    for (uint32_t i = 0; i < notes->count; i++)
        warnings += notes->warning[i];
    uint32_t infos = notes->count - warnings;
    if ((ev->warn && !warnings) || (ev->no_warn && warnings))
        return script_wrong(s, ev, "%u warnings%s%s", warnings, notes->count ? ": " : "",
                            notes->count ? notes->items[0].ptr : "");
    if ((ev->info && !infos) || (ev->no_info && infos))
        return script_wrong(s, ev, "%u infos%s%s", infos, notes->count ? ": " : "",
                            notes->count ? notes->items[0].ptr : "");
    return true;
}

static status script_run(script *s, const script_eval *ev, bool range, promql_result *ret,
                         error *err)
{
    const promql_node *n;
    status st = promql_parse(&n, ev->expression, s->features, &s->arena, err);
    if (st != STATUS_OK)
        return st;
    promql_options o = { .start_ms = ev->start_ms,
                         .end_ms = ev->end_ms,
                         .step_ms = ev->step_ms,
                         .features = s->features };
    return range ? promql_range_query(s->store, n, ev->expression, &o, &s->arena, ret, err)
                 : promql_instant(s->store, n, ev->expression, &o, &s->arena, ret, err);
}

/* The middle step of a range query must say what the instant query said. */
static bool script_check_as_range(script *s, script_eval *ev, const promql_result *instant)
{
    error err;
    promql_result r;
    script_eval around = *ev;
    if (instant->type != PROMQL_VECTOR || ev->ordered ||
        str_contains(ev->expression, STR("start()")) || str_contains(ev->expression, STR("end()")))
        return true;
    around.start_ms = ev->start_ms - 60000;
    around.end_ms = ev->start_ms + 60000;
    around.step_ms = 60000;
    if (script_run(s, &around, true, &r, &err) != STATUS_OK)
        return script_wrong(s, ev, "as a range query: %s", err.message);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r.count; i++) {
        promql_series *row = &r.series[i];
        for (uint32_t k = 0; k < row->count; k++) {
            if (row->time_ms[k] != ev->start_ms)
                continue;
            r.series[n++] = (promql_series){ .labels = row->labels,
                                             .time_ms = row->time_ms + k,
                                             .value = row->value + k,
                                             .count = 1 };
            break;
        }
    }
    r.count = n;
    return script_check_values(s, ev, &r, false);
}

static bool script_judge(script *s, script_eval *ev)
{
    error err = { 0 };
    promql_result r = { 0 };
    status st = script_run(s, ev, ev->range, &r, &err);
    if (st != STATUS_OK) {
        if (!ev->fail)
            return script_wrong(s, ev, "failed: %s", err.message);
        if (ev->fail_text.len && !str_eq(ev->fail_text, str_c(err.message)))
            return script_wrong(s, ev, "failed with: %s", err.message);
        return true;
    }
    if (ev->fail)
        return script_wrong(s, ev, "succeeded, but should fail");
    if (r.type == PROMQL_STRING)
        return str_eq(r.string, ev->string) ||
               script_wrong(s, ev, "got the string %.*s", STR_ARG(r.string));
    return script_check_values(s, ev, &r, true) && script_check_notes(s, ev, &r.notes) &&
           (ev->range || script_check_as_range(s, ev, &r));
}

static void script_eval_header(script_eval *ev, str line)
{
    str word = script_word(&line);
    ev->ordered = str_starts(word, STR("eval_ordered"));
    ev->fail = str_starts(word, STR("eval_fail"));
    ev->warn = str_starts(word, STR("eval_warn"));
    ev->info = str_starts(word, STR("eval_info"));
    str kind = script_word(&line);
    ev->range = str_is(kind, "range");
    if (ev->range) {
        script_word(&line);
        ev->start_ms = script_ms(script_word(&line));
        script_word(&line);
        ev->end_ms = script_ms(script_word(&line));
        script_word(&line);
        ev->step_ms = script_ms(script_word(&line));
    } else {
        if (!str_is(kind, "at"))
            script_word(&line);
        ev->start_ms = ev->end_ms = script_ms(script_word(&line));
        ev->step_ms = 1;
    }
    ev->expression = line;
}

static void script_one_eval(script *s, str line)
{
    script_eval ev = { .line = s->line };
    bool any;
    script_eval_header(&ev, line);
    while (s->rest.len && (s->rest.ptr[0] == ' ' || s->rest.ptr[0] == '\t')) {
        str below = str_trim(script_next_line(s, &any));
        if (below.len && below.ptr[0] != '#')
            script_expected_line(s, &ev, below);
    }
    bool lacking = ev.native;
    for (uint32_t i = 0; i < s->without.count; i++)
        lacking = lacking || str_contains(ev.expression, str_trim(s->without.items[i]));
    if (lacking)
        s->skipped++;
    else if (script_judge(s, &ev))
        s->passed++;
    else
        s->failed++;
}

/* Runs the whole file; the counts are in *ret. */
static inline bool script_file(const char *path, bool verbose, script *ret)
{
    buf text;
    script s = { .path = path, .verbose = verbose, .features = SCRIPT_FEATURES };
    buf_init(&text, MiB(4));
    if (file_read(path, &text, NULL) != STATUS_OK)
        return false;
    s.rest = buf_view(&text);
    arena_init(&s.arena, 0);
    arena_init(&s.block, 0);
    s.store = fake_store_new();
    bool any = true;
    for (str line = script_next_line(&s, &any); any; line = script_next_line(&s, &any)) {
        str trimmed = str_trim(line), arguments = trimmed;
        if (!trimmed.len || trimmed.ptr[0] == '#')
            continue;
        str command = script_word(&arguments);
        if (str_is(command, "clear")) {
            fake_store_free(s.store);
            s.store = fake_store_new();
            arena_clear(&s.block);
            s.without = (str_list){ 0 };
        } else if (str_is(command, "load") || str_is(command, "load_with_nhcb")) {
            script_load(&s, arguments);
        } else if (str_starts(command, STR("eval"))) {
            script_one_eval(&s, trimmed);
        } else if (str_is(command, "delay_names")) {
            s.features |= PROMQL_DELAYED_NAME_REMOVAL;
        }
        arena_clear(&s.arena);
    }
    fake_store_free(s.store);
    arena_done(&s.arena);
    arena_done(&s.block);
    buf_done(&text);
    *ret = s;
    return true;
}

#endif
