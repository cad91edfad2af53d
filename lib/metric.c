// SPDX-License-Identifier: Apache-2.0
/* The registry: metrics are made, given a row in the recorder, and given up. It is part of the one
 * instance of the library in a process. A metric that was freed keeps its memory, so that a thread
 * which is late does no harm and the same name can come back with its value. */
#include "lib/metric.h"

#include "lib/env.h"
#include "lib/metric_exemplar.h"
#include "lib/metric_expire.h"
#include "lib/metric_shard.h"
#include "lib/state.h"

#include "base/clock.h"
#include "codec/exp_histogram.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static const double http_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                      0.5,   0.75, 1,     2.5,  5,     7.5, 10 };
static const double plain_bounds[] = { 0,   5,   10,   25,   50,   75,   100,  250,
                                       500, 750, 1000, 2500, 5000, 7500, 10000 };

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t collect_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool holds_lock;
static metric *_Atomic metrics; /* newest first */
static recorder *attached;      /* the recorder that has the rows; NULL before the first start */
static uint32_t generation;     /* of lib/state.h, in which it was current */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool exponential_default; /* of histograms that say nothing */
#define EXP_SIZE_DEFAULT 160u

/* ---- locks and losses ---- */

bool metric_lock(void)
{
    if (holds_lock)
        return false;
    metric_check_fork();
    pthread_mutex_lock(&registry_mutex);
    holds_lock = true;
    return true;
}

void metric_unlock(void)
{
    holds_lock = false;
    pthread_mutex_unlock(&registry_mutex);
}

void metric_count_dropped(metric_drop reason)
{
    static const recorder_drop reasons[] = { RECORDER_DROP_INVALID, RECORDER_DROP_FULL,
                                             RECORDER_DROP_SERIES };
    recorder *r = state_recorder();
    if (r)
        recorder_count_drop(r, SIGNAL_METRICS, reasons[reason], 1);
    else
        state_count_early(SIGNAL_METRICS);
}

/* ---- the recorder ---- */

bool metric_is_attached(void)
{
    return attached && attached == state_recorder() && generation == state_generation();
}

void *metric_area_alloc(size_t bytes, uint64_t *ret_offset)
{
    return metric_is_attached() ? recorder_area_alloc(attached, bytes, ret_offset) : NULL;
}

static void write_row(metric *m)
{
    uint64_t offset;
    size_t bounds = recorder_bounds_bytes(m->kind, m->bound_count);
    recorder_metric_row *row = metric_area_alloc(sizeof(*row) + bounds + m->text_bytes, &offset);
    if (!row)
        return;
    _Atomic uint64_t *root = recorder_metric_root_ptr(attached);
    row->magic = RECORDER_METRIC_MAGIC;
    row->flags = atomic_load(&m->flags);
    row->next = atomic_load(root);
    row->kind = (uint8_t)m->kind;
    row->label_count = (uint8_t)m->label_count;
    row->bound_count = (uint16_t)m->bound_count;
    row->text_bytes = m->text_bytes;
    if (bounds > 0)
        memcpy(row + 1, m->bounds, bounds);
    memcpy((char *)(row + 1) + bounds, m->text, m->text_bytes);
    m->row = row;
    atomic_store_explicit(root, offset, memory_order_release);
}

/* Oldest first, so that the rows' links give the order of making. */
static void attach_all(metric *m, int64_t start_ns)
{
    size_t count = 0;
    for (metric *x = m; x; x = x->next)
        count++;
    for (size_t i = count; i > 0; i--) {
        metric *x = m;
        for (size_t k = 1; k < i; k++)
            x = x->next;
        write_row(x);
        metric_series_attach(x, start_ns);
    }
}

static void attach(recorder *r)
{
    metric *all = atomic_load(&metrics);
    bool first = attached == NULL;
    for (metric *m = all; m; m = m->next)
        metric_series_detach(m);
    attached = r;
    generation = state_generation();
    attach_all(all, first ? 0 : clock_now_ns());
    metric_fold();
}

static void after_fork(void)
{
    pthread_mutex_init(&registry_mutex, NULL);
    pthread_mutex_init(&collect_mutex, NULL);
    holds_lock = false;
    metric_fold_forget();
    for (metric *m = atomic_load(&metrics); m; m = m->next)
        metric_series_detach(m);
}

void metric_check_fork(void)
{
    if (*metric_mark != 0)
        return;
    if (metric_shard_forked())
        after_fork();
    (void)state_recorder(); /* makes the child's recorder, and calls the hook below */
}

static void on_recorder(recorder *r, state_event event)
{
    if (event == STATE_FORKED && metric_shard_forked())
        after_fork();
    if (metric_lock()) {
        attach(r);
        metric_unlock();
    }
}

static void begin(void)
{
    metric_mark_init();
    (void)state_add_hook(on_recorder);
}

/* For the recorder that was opened before the first metric was made. Registry locked. */
static void attach_running(void)
{
    recorder *r = state_recorder();
    if (r && !metric_is_attached())
        attach(r);
}

void metric_attach(void)
{
    pthread_once(&once, begin);
    if (metric_lock()) {
        attach_running();
        metric_unlock();
    }
}

void metric_configure(const settings *s)
{
    atomic_store(&exponential_default, s->exponential_histograms);
    metric_exemplars_configure(s->exemplars);
}

void metric_detach(void)
{
    if (!metric_lock())
        return;
    for (metric *m = atomic_load(&metrics); m; m = m->next)
        metric_series_detach(m);
    metric_unlock();
}

/* ---- making ---- */

static const char *const kind_names[] = { "",      "counter",   "up-down counter",
                                          "gauge", "histogram", "histogram" };

static str metric_name(const metric *m)
{
    return str_n(m->text + 2, m->name_bytes);
}

static char *put_text(char *at, const char *text, size_t most)
{
    uint16_t n = text ? (uint16_t)strnlen(text, most) : 0;
    memcpy(at, &n, 2);
    if (n > 0)
        memcpy(at + 2, text, n);
    return at + 2 + n;
}

static size_t label_count(sonde_labels labels)
{
    size_t n = 0;
    while (labels.names && labels.names[n])
        n++;
    return n;
}

static bool is_histogram(recorder_metric_kind kind)
{
    return kind == RECORDER_HISTOGRAM || kind == RECORDER_EXPONENTIAL;
}

static bool same_kind(const metric *m, recorder_metric_kind kind, sonde_labels labels)
{
    bool same = m->kind == kind || (is_histogram(m->kind) && is_histogram(kind));
    if (!same || m->label_count != label_count(labels))
        return false;
    const char *at = m->text;
    for (uint32_t i = 0; i < 3 + m->label_count; i++) {
        uint16_t n;
        memcpy(&n, at, 2);
        if (i >= 3 && !str_eq(str_n(at + 2, n), str_c(labels.names[i - 3])))
            return false;
        at += 2 + n;
    }
    return true;
}

/* The bounds to use; count SIZE_MAX when they do not rise. */
static sonde_bounds choose_bounds(const sonde_metric_options *o)
{
    str name = str_c(o->name), unit = str_c(o->unit);
    if (o->bounds.count == 0) {
        bool seconds = str_is(unit, "s") || (unit.len == 0 && str_ends(name, STR("seconds")));
        return seconds ? (sonde_bounds){ http_bounds, ARRAY_LEN(http_bounds) }
                       : (sonde_bounds){ plain_bounds, ARRAY_LEN(plain_bounds) };
    }
    sonde_bounds b = o->bounds;
    if (isinf(b.values[b.count - 1]) && b.values[b.count - 1] > 0)
        b.count--; /* the last bucket has no bound anyway */
    for (size_t i = 0; i < b.count; i++)
        if (!isfinite(b.values[i]) || (i > 0 && b.values[i] <= b.values[i - 1]))
            return (sonde_bounds){ NULL, SIZE_MAX };
    return b;
}

static const char *problem_of_exponential(const sonde_metric_options *o)
{
    if (o->bounds.count > 0)
        return "it has bounds, which an exponential one cannot have";
    if (o->max_size > 0 && (o->max_size < EXP_SIZE_MIN || o->max_size > EXP_SIZE_MAX))
        return "its max_size is not 2 to 320";
    return o->max_scale > EXP_SCALE_MAX || o->max_scale < EXP_SCALE_MIN
               ? "its max_scale is not -10 to 20"
               : NULL;
}

/* Why the options make no metric; NULL when they do. */
static const char *problem_of(const sonde_metric_options *o, recorder_metric_kind kind)
{
    if (!o->name || !*o->name)
        return "it has no name";
    if (strlen(o->name) > RECORDER_METRIC_NAME_MAX)
        return "its name is longer than 255 bytes";
    size_t labels = label_count(o->labels);
    if (labels > RECORDER_METRIC_LABELS_MAX)
        return "it has more than 12 labels";
    for (size_t i = 0; i < labels; i++) {
        if (!*o->labels.names[i] || strlen(o->labels.names[i]) > RECORDER_METRIC_NAME_MAX)
            return "a label's name is empty or longer than 255 bytes";
        for (size_t k = 0; k < i; k++)
            if (strcmp(o->labels.names[i], o->labels.names[k]) == 0)
                return "it has the same label twice";
    }
    if (kind == RECORDER_EXPONENTIAL)
        return problem_of_exponential(o);
    if (kind != RECORDER_HISTOGRAM)
        return NULL;
    if (o->bounds.count > RECORDER_METRIC_BOUNDS_MAX)
        return "it has more than 128 bounds";
    return choose_bounds(o).count == SIZE_MAX ? "its bounds do not rise" : NULL;
}

static bool set_bounds(metric *m, const sonde_metric_options *o)
{
    sonde_bounds b = choose_bounds(o);
    m->bound_count = (uint32_t)b.count;
    m->bounds_padded = ((uint32_t)b.count + 7) & ~7u;
    m->bounds = aligned_alloc(64, MAX((m->bounds_padded * sizeof(double) + 63) & ~(size_t)63, 64));
    if (!m->bounds)
        return false;
    for (uint32_t i = 0; i < m->bounds_padded; i++)
        m->bounds[i] = i < b.count ? b.values[i] : INFINITY;
    return true;
}

static bool set_kind(metric *m, const sonde_metric_options *o, recorder_metric_kind kind)
{
    m->kind = kind;
    if (kind == RECORDER_HISTOGRAM && !set_bounds(m, o))
        return false;
    if (kind == RECORDER_EXPONENTIAL) {
        m->bound_count = o->max_size > 0 ? o->max_size : EXP_SIZE_DEFAULT;
        m->exp_scale = o->max_scale != 0 ? o->max_scale : EXP_SCALE_MAX;
    }
    m->cell_bytes = (uint32_t)recorder_cell_bytes(kind, m->bound_count);
    m->exemplar_count = recorder_exemplar_count(kind, m->bound_count);
    return true;
}

static metric *build(const sonde_metric_options *o, recorder_metric_kind kind)
{
    size_t labels = label_count(o->labels);
    size_t most = 3 * 2 + RECORDER_METRIC_NAME_MAX + RECORDER_METRIC_UNIT_MAX +
                  RECORDER_METRIC_HELP_MAX + labels * (2 + RECORDER_METRIC_NAME_MAX);
    metric *m = calloc(1, sizeof(*m) + most);
    if (!m)
        return NULL;
    m->label_count = (uint32_t)labels;
    m->series_limit = o->series_limit > 0 ? o->series_limit : METRIC_SERIES_LIMIT;
    m->expire_ns = (int64_t)o->expire_s * NS_PER_S;
    m->name_bytes = (uint32_t)strlen(o->name);
    char *at = put_text(m->text, o->name, RECORDER_METRIC_NAME_MAX);
    at = put_text(at, o->unit, RECORDER_METRIC_UNIT_MAX);
    at = put_text(at, o->help, RECORDER_METRIC_HELP_MAX);
    for (size_t i = 0; i < labels; i++)
        at = put_text(at, o->labels.names[i], RECORDER_METRIC_NAME_MAX);
    m->text_bytes = (uint32_t)(at - m->text);
    if (!set_kind(m, o, kind)) {
        free(m);
        return NULL;
    }
    return m;
}

static void set_flag(metric *m, uint32_t flag, bool on)
{
    uint32_t flags =
        on ? atomic_fetch_or(&m->flags, flag) | flag : atomic_fetch_and(&m->flags, ~flag) & ~flag;
    if (m->row)
        __atomic_store_n(&m->row->flags, flags, __ATOMIC_RELAXED);
}

/* The metric of that name, made when there is none. Registry locked. */
static metric *obtain(const sonde_metric_options *o, recorder_metric_kind kind,
                      const char **ret_problem)
{
    metric *m = atomic_load(&metrics);
    while (m && !str_eq(metric_name(m), str_c(o->name)))
        m = m->next;
    if (m && !same_kind(m, kind, o->labels)) {
        *ret_problem = "one of that name exists with another kind or other labels";
        return NULL;
    }
    if (m) {
        if (m->references++ == 0)
            set_flag(m, RECORDER_METRIC_FREED, false);
        return m;
    }
    m = build(o, kind);
    if (!m) {
        *ret_problem = "there is no memory";
        return NULL;
    }
    m->references = 1;
    write_row(m);
    if (m->label_count == 0)
        (void)metric_series_only(m);
    m->next = atomic_load(&metrics);
    atomic_store_explicit(&metrics, m, memory_order_release);
    return m;
}

static metric *create(const sonde_metric_options *o, recorder_metric_kind kind)
{
    static const sonde_metric_options none;
    if (!o)
        o = &none;
    const char *problem = problem_of(o, kind);
    metric *m = NULL;
    pthread_once(&once, begin);
    if (!problem && metric_lock()) {
        attach_running();
        m = obtain(o, kind, &problem);
        metric_unlock();
    }
    if (problem)
        lib_warn("the %s \"%.100s\" cannot be made: %s", kind_names[kind], o->name ? o->name : "",
                 problem);
    return m;
}

sonde_counter *sonde_counter_create(const sonde_metric_options *options)
{
    return (sonde_counter *)create(options, RECORDER_COUNTER);
}

sonde_counter *sonde_updown_counter_create(const sonde_metric_options *options)
{
    return (sonde_counter *)create(options, RECORDER_UPDOWN);
}

sonde_gauge *sonde_gauge_create(const sonde_metric_options *options)
{
    return (sonde_gauge *)create(options, RECORDER_GAUGE);
}

sonde_histogram *sonde_histogram_create(const sonde_metric_options *options)
{
    bool exponential = options && options->bounds.count == 0 &&
                       (options->exponential || atomic_load(&exponential_default));
    return (sonde_histogram *)create(options,
                                     exponential ? RECORDER_EXPONENTIAL : RECORDER_HISTOGRAM);
}

sonde_gauge *sonde_gauge_callback_create(const sonde_metric_options *options,
                                         sonde_gauge_read *read, void *user)
{
    metric *m = create(options, RECORDER_GAUGE);
    if (!m)
        return NULL;
    pthread_mutex_lock(&collect_mutex);
    m->read_user = user;
    atomic_store(&m->read, read);
    pthread_mutex_unlock(&collect_mutex);
    return (sonde_gauge *)m;
}

/* ---- giving up ---- */

static void release(metric *m)
{
    if (!m || !metric_lock())
        return;
    if (m->references > 0 && --m->references == 0)
        set_flag(m, RECORDER_METRIC_FREED, true);
    metric_unlock();
}

void sonde_counter_free(sonde_counter *c)
{
    release((metric *)c);
}

void sonde_histogram_free(sonde_histogram *h)
{
    release((metric *)h);
}

void sonde_gauge_free(sonde_gauge *g)
{
    metric *m = (metric *)g;
    if (m && atomic_load(&m->read)) {
        pthread_mutex_lock(&collect_mutex);
        atomic_store(&m->read, NULL);
        pthread_mutex_unlock(&collect_mutex);
    }
    release(m);
}

/* ---- collecting ---- */

static void expire_all(void)
{
    int64_t now_ns = clock_mono_ns();
    if (!metric_is_attached())
        return;
    metric_expire_late(now_ns);
    for (metric *m = atomic_load(&metrics); m; m = m->next)
        metric_expire(m, now_ns);
}

void metric_collect(void)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&collect_mutex);
    for (metric *m = atomic_load_explicit(&metrics, memory_order_acquire); m; m = m->next) {
        sonde_gauge_read *read = atomic_load(&m->read);
        if (read)
            read((sonde_gauge *)m, m->read_user);
    }
    if (metric_lock()) {
        attach_running();
        metric_fold();
        expire_all();
        metric_unlock();
    }
    pthread_mutex_unlock(&collect_mutex);
}
