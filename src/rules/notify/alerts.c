// SPDX-License-Identifier: Apache-2.0
/* The alerts that are known: taken, merged with what is known of them, stored, forgotten. */
#include "rules/notify/state.h"

#include <stdlib.h>

static const int64_t outlast_max_ms = 15 * 60 * 1000;

str fingerprint_key(const uint64_t *fingerprint)
{
    return str_n(fingerprint, sizeof(*fingerprint));
}

/* ---- one alert's memory ---- */

static size_t list_size(labels l)
{
    size_t size = l.count * sizeof(label);
    for (uint32_t i = 0; i < l.count; i++)
        size += l.items[i].name.len + l.items[i].value.len;
    return size;
}

static str put_text(char **at, str s)
{
    str copy = { *at, s.len };
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static labels put_list(label *to, char **at, labels l)
{
    for (uint32_t i = 0; i < l.count; i++) {
        to[i].name = put_text(at, l.items[i].name);
        to[i].value = put_text(at, l.items[i].value);
    }
    return (labels){ to, l.count };
}

/* One block for all lists and texts. */
static bool set_texts(kept_alert *a, labels l, labels annotations, str generator)
{
    size_t lists = (l.count + annotations.count) * sizeof(label);
    size_t size = list_size(l) + list_size(annotations) + generator.len;
    char *block = malloc(MAX(size, (size_t)1));
    if (!block)
        return false;
    char *at = block + lists;
    label *items = (label *)(void *)block;
    labels own = put_list(items, &at, l);
    labels own_annotations = put_list(items + l.count, &at, annotations);
    a->generator = put_text(&at, generator);
    a->labels = own;
    a->annotations = own_annotations;
    free(a->block);
    a->block = block;
    return true;
}

static void alert_free(kept_alert *a)
{
    free(a->block);
    free(a->silences);
    free(a);
}

/* ---- JSON ---- */

status labels_of_json(arena *a, str json, label **ret, uint32_t *ret_count, error *err)
{
    json_reader r;
    str name;
    uint32_t n = 0;
    label *items = ARENA_ARRAY(a, label, ALERT_LABELS_MAX);
    if (!items)
        return fail(err, STATUS_LIMIT, "no memory for labels");
    json_read(&r, json, a, 4);
    if (json_next(&r) != JSON_OBJECT)
        return fail(err, STATUS_CORRUPT, "labels are no JSON object");
    while (json_next_key(&r, &name)) {
        if (n == ALERT_LABELS_MAX || json_next(&r) != JSON_STRING)
            return fail(err, STATUS_CORRUPT, "too many labels, or one that is no text");
        items[n++] = (label){ name, r.text };
    }
    labels sorted = labels_sort(items, n);
    *ret = items;
    *ret_count = sorted.count;
    return json_fail_status(&r, err, "labels");
}

/* ---- taking ---- */

static status check_list(const label *items, uint32_t count, const char *what, bool annotations,
                         error *err)
{
    if (count > ALERT_LABELS_MAX)
        return fail(err, STATUS_INVALID, "an alert has more than %d %s", ALERT_LABELS_MAX, what);
    for (uint32_t i = 0; i < count; i++) {
        str name = items[i].name, value = items[i].value;
        if (!name.len || utf8_valid_prefix(name) != name.len)
            return fail(err, STATUS_INVALID, "invalid name \"%.*s\" in %s",
                        STR_ARG(str_slice(name, 0, utf8_valid_prefix(str_slice(name, 0, 80)))),
                        what);
        if (utf8_valid_prefix(value) != value.len)
            return fail(err, STATUS_INVALID, "the value of %.*s in %s is no UTF-8",
                        STR_ARG(str_slice(name, 0, 80)), what);
        if (!annotations && i && str_eq(items[i - 1].name, name))
            return fail(err, STATUS_INVALID, "the label %.*s stands twice",
                        STR_ARG(str_slice(name, 0, 80)));
    }
    return STATUS_OK;
}

static status check(const alert *given, error *err)
{
    labels l = { given->labels, given->label_count };
    labels annotations = { given->annotations, given->annotation_count };
    if (!l.count)
        return fail(err, STATUS_INVALID, "at least one label pair required");
    status st = check_list(l.items, l.count, "labels", false, err);
    if (st == STATUS_OK)
        st = check_list(annotations.items, annotations.count, "annotations", true, err);
    if (st == STATUS_OK &&
        list_size(l) + list_size(annotations) + given->generator_url.len > ALERT_BYTES_MAX)
        st = fail(err, STATUS_INVALID, "an alert is larger than %d KiB", ALERT_BYTES_MAX >> 10);
    if (st == STATUS_OK && given->ends_ms && given->ends_ms < given->starts_ms)
        st = fail(err, STATUS_INVALID, "start time must be before end time");
    return st;
}

/* What Alertmanager does with a second message about an alert whose times overlap with the first:
 * the earliest start counts; of ends the newest message's, but an end that was only assumed gives
 * way to a later one. */
static void merge_times(const kept_alert *old, int64_t now_ms, int64_t *starts, int64_t *ends)
{
    bool overlap = (*ends > old->starts_ms && *ends < old->ends_ms) ||
                   (*starts > old->starts_ms && *starts < old->ends_ms);
    if (!overlap)
        return;
    *starts = MIN(*starts, old->starts_ms);
    if (*ends <= now_ms) {
        if (is_resolved(old, now_ms))
            *ends = MAX(*ends, old->ends_ms);
    } else if (old->ends_ms > *ends && !old->timeout) {
        *ends = old->ends_ms;
    }
}

static status keep(alertmanager *am, const kept_alert *a, error *err)
{
    buf text;
    size_t middle;
    buf_init(&text, MiB(1));
    json_writer w = json_write(&text);
    labels_to_json(&w, a->labels);
    middle = text.len;
    w = json_write(&text);
    labels_to_json(&w, a->annotations);
    status st = buf_check(&text, err, "an alert");
    if (st == STATUS_OK)
        st = db_put_alert(am->db,
                          &(db_alert){ .fingerprint = a->fingerprint,
                                       .labels = str_slice(buf_view(&text), 0, middle),
                                       .annotations = str_slice(buf_view(&text), middle, text.len),
                                       .generator = a->generator,
                                       .starts_ms = a->starts_ms,
                                       .ends_ms = a->ends_ms,
                                       .updated_ms = a->updated_ms,
                                       .timeout = a->timeout },
                          err);
    buf_done(&text);
    return st;
}

static status new_alert(alertmanager *am, uint64_t fingerprint, kept_alert **ret, error *err)
{
    kept_alert *a = calloc(1, sizeof(*a));
    if (!a)
        return fail(err, STATUS_NO_MEMORY, "no memory for an alert");
    a->fingerprint = fingerprint;
    if (!map_put(&am->alerts, fingerprint_key(&a->fingerprint), (uint64_t)(uintptr_t)a, NULL)) {
        free(a);
        return fail(err, STATUS_NO_MEMORY, "no memory for an alert");
    }
    am->alerts_version++;
    *ret = a;
    return STATUS_OK;
}

static void drop_alert(alertmanager *am, kept_alert *a)
{
    (void)map_remove(&am->alerts, fingerprint_key(&a->fingerprint));
    am->alerts_version++;
    alert_free(a);
}

status alerts_put(alertmanager *am, const alert *given, int64_t now_ms, kept_alert **ret,
                  error *err)
{
    status st = check(given, err);
    if (st != STATUS_OK)
        return st;
    uint64_t fingerprint = alert_fingerprint(given->labels, given->label_count);
    uint64_t *known = map_get(&am->alerts, fingerprint_key(&fingerprint));
    kept_alert *a = known ? (kept_alert *)(uintptr_t)*known : NULL;
    bool timeout = given->ends_ms == 0;
    int64_t ends = timeout ? now_ms + am->config->resolve_timeout_ms : given->ends_ms;
    int64_t starts = given->starts_ms ? given->starts_ms : MIN(now_ms, ends);
    if (!a && am->alerts.count >= am->options.max_alerts) {
        am->counters.alert_limit++;
        return fail(err, STATUS_LIMIT, "there are %u alerts already, which is the limit",
                    am->options.max_alerts);
    }
    if (a)
        merge_times(a, now_ms, &starts, &ends);
    else if ((st = new_alert(am, fingerprint, &a, err)) != STATUS_OK)
        return st;
    if (!set_texts(a, (labels){ given->labels, given->label_count },
                   (labels){ given->annotations, given->annotation_count }, given->generator_url)) {
        if (!known)
            drop_alert(am, a);
        return fail(err, STATUS_NO_MEMORY, "no memory for an alert");
    }
    a->starts_ms = starts;
    a->ends_ms = ends;
    a->timeout = timeout;
    a->updated_ms = now_ms;
    if (is_resolved(a, now_ms))
        am->counters.received_resolved++;
    else
        am->counters.received_firing++;
    *ret = a;
    return keep(am, a, err);
}

status alerts_load(alertmanager *am, const db_alert *stored, error *err)
{
    arena scratch;
    label *l, *annotations;
    uint32_t count, annotation_count;
    kept_alert *a = NULL;
    arena_init(&scratch, MiB(4));
    status st = labels_of_json(&scratch, stored->labels, &l, &count, err);
    if (st == STATUS_OK)
        st = labels_of_json(&scratch, stored->annotations, &annotations, &annotation_count, err);
    if (st == STATUS_OK)
        st = new_alert(am, stored->fingerprint, &a, err);
    if (st == STATUS_OK &&
        !set_texts(a, (labels){ l, count }, (labels){ annotations, annotation_count },
                   stored->generator)) {
        drop_alert(am, a);
        st = fail(err, STATUS_NO_MEMORY, "no memory for an alert");
    }
    if (st == STATUS_OK) {
        a->starts_ms = stored->starts_ms;
        a->ends_ms = stored->ends_ms;
        a->updated_ms = stored->updated_ms;
        a->timeout = stored->timeout;
    }
    arena_done(&scratch);
    return st;
}

/* Whatever says that an alert ended is newer than its end. */
int64_t alerts_last_known(const alertmanager *am)
{
    int64_t last = 0;
    for (map_slot *s = NULL; (s = map_next(&am->alerts, s));)
        last = MAX(last, ((const kept_alert *)(uintptr_t)s->value)->updated_ms);
    for (map_slot *s = NULL; (s = map_next(&am->slots, s));)
        last = MAX(last, ((const slot *)(uintptr_t)s->value)->time_ms);
    for (const pending *p = am->first; p; p = p->next)
        last = MAX(last, p->created_ms);
    return last;
}

void alerts_outlast(alertmanager *am, int64_t last_ms, int64_t now_ms)
{
    for (map_slot *s = NULL; (s = map_next(&am->alerts, s));) {
        kept_alert *a = (kept_alert *)(uintptr_t)s->value;
        if (a->ends_ms > last_ms)
            a->ends_ms = MAX(a->ends_ms, now_ms + MIN(a->ends_ms - a->updated_ms, outlast_max_ms));
    }
}

void alerts_release(alertmanager *am, kept_alert *a, int64_t now_ms)
{
    error err;
    if (a->groups || !is_resolved(a, now_ms))
        return;
    am_begin(am);
    if (db_delete_alert(am->db, a->fingerprint, &err) != STATUS_OK)
        am->counters.database_errors++;
    drop_alert(am, a);
}

void alerts_done(alertmanager *am)
{
    for (map_slot *s = NULL; (s = map_next(&am->alerts, s));)
        alert_free((kept_alert *)(uintptr_t)s->value);
    map_done(&am->alerts);
}

/* ---- order ---- */

static int compare_one(labels a, labels b, str name)
{
    str x = labels_get(a, name), y = labels_get(b, name);
    if (!x.len || !y.len)
        return (int)!x.len - (int)!y.len;
    return str_cmp(x, y);
}

int alerts_compare(const void *a, const void *b)
{
    const kept_alert *x = *(kept_alert *const *)a, *y = *(kept_alert *const *)b;
    int c = compare_one(x->labels, y->labels, STR("job"));
    if (c == 0)
        c = compare_one(x->labels, y->labels, STR("instance"));
    if (c == 0 && x->labels.count != y->labels.count)
        c = x->labels.count < y->labels.count ? -1 : 1;
    return c ? c : labels_cmp(x->labels, y->labels);
}
