// SPDX-License-Identifier: Apache-2.0
/* What OpenMetrics 1.0 demands of a page beyond its grammar: families whole and once, groups of
 * samples together and in the order of their times, values that their type can have, histograms
 * whose parts agree. Called for each family and each sample in the page's order. */
#include "codec/exposition_internal.h"

#include "base/hash_set.h"

#include <math.h>
#include <stdlib.h>

/* Of the group of samples that is being read. */
typedef struct {
    bool any, has_bucket, has_count, has_sum, negative_bucket, negative_sum;
    double bound, below, count;
} histogram_state;

struct openmetrics_rules {
    exposition_page *p;
    map names; /* all that a family may call its samples */
    uint32_t family;
    hash_set groups; /* of this family, met before */
    bool has_group, group_has_time;
    uint64_t group;
    int64_t group_time_ms;
    histogram_state histogram;
};

enum { SHOWN = 60 };
#define SHOW(s) (int)MIN((s).len, (size_t)SHOWN), (s).ptr

static const char *const suffixes[FAMILY_TYPES][5] = {
    [FAMILY_COUNTER] = { "_total", "_created" },
    [FAMILY_SUMMARY] = { "_count", "_sum", "_created" },
    [FAMILY_HISTOGRAM] = { "_count", "_sum", "_bucket", "_created" },
    [FAMILY_GAUGE_HISTOGRAM] = { "_gcount", "_gsum", "_bucket" },
    [FAMILY_INFO] = { "_info" },
};

openmetrics_rules *openmetrics_rules_new(exposition_page *p)
{
    openmetrics_rules *r = ARENA_NEW(&p->arena, openmetrics_rules);
    if (!r)
        return NULL;
    r->p = p;
    r->family = EXPOSITION_NO_FAMILY;
    map_init(&r->names);
    return r;
}

void openmetrics_rules_done(openmetrics_rules *r)
{
    if (!r)
        return;
    map_done(&r->names);
    hash_set_done(&r->groups);
}

/* ---- histograms ---- */

static status finish_histogram(const histogram_state *h, error *err)
{
    if (!h->any)
        return STATUS_OK;
    if (!h->has_bucket || !(isinf(h->bound) && h->bound > 0))
        return fail(err, STATUS_INVALID, "a histogram lacks its bucket with le=\"+Inf\"");
    if (h->has_count && h->count != h->below)
        return fail(err, STATUS_INVALID,
                    "a histogram's count is %g and its bucket with le=\"+Inf\" is %g; they must "
                    "be the same",
                    h->count, h->below);
    if (h->has_sum != h->has_count)
        return fail(err, STATUS_INVALID, "a histogram has a %s without a %s",
                    h->has_sum ? "sum" : "count", h->has_sum ? "count" : "sum");
    return STATUS_OK;
}

static status finish_signs(const histogram_state *h, family_type type, error *err)
{
    if (type == FAMILY_HISTOGRAM && h->negative_bucket && h->has_sum)
        return fail(err, STATUS_INVALID,
                    "a histogram with buckets below 0 cannot have a sum, which may fall");
    if (type == FAMILY_GAUGE_HISTOGRAM && !h->negative_bucket && h->negative_sum)
        return fail(err, STATUS_INVALID, "the sum is below 0 and no bucket is");
    return STATUS_OK;
}

static status bucket_sample(histogram_state *h, const exposition_sample *s, error *err)
{
    double bound;
    str le = exposition_label(s, STR("le"));
    if (!exposition_parse_number(le, &bound) || isnan(bound))
        return fail(err, STATUS_INVALID, "a bucket needs a label le with a number");
    if (h->has_bucket && bound <= h->bound)
        return fail(err, STATUS_INVALID, "le=\"%.*s\" must stand before the buckets above it",
                    SHOW(le));
    if (h->has_bucket && s->value < h->below)
        return fail(err, STATUS_INVALID,
                    "the bucket le=\"%.*s\" counts less than the one below it, whose values it "
                    "includes",
                    SHOW(le));
    h->negative_bucket |= bound < 0;
    h->has_bucket = true;
    h->bound = bound;
    h->below = s->value;
    return STATUS_OK;
}

static status histogram_sample(histogram_state *h, const exposition_sample *s, error *err)
{
    h->any = true;
    if (s->part == PART_BUCKET)
        return bucket_sample(h, s, err);
    if (s->part == PART_COUNT) {
        h->has_count = true;
        h->count = s->value;
    } else if (s->part == PART_SUM) {
        h->has_sum = true;
        h->negative_sum |= s->value < 0;
    }
    return STATUS_OK;
}

/* ---- families ---- */

static bool is_histogram(family_type t)
{
    return t == FAMILY_HISTOGRAM || t == FAMILY_GAUGE_HISTOGRAM;
}

static status finish_group(openmetrics_rules *r, error *err)
{
    family_type type = r->p->families[r->family].type;
    status st = STATUS_OK;
    if (is_histogram(type)) {
        st = finish_histogram(&r->histogram, err);
        if (st == STATUS_OK)
            st = finish_signs(&r->histogram, type, err);
    }
    r->histogram = (histogram_state){ 0 };
    return st;
}

static status claim_name(openmetrics_rules *r, str family, const char *suffix, error *err)
{
    bool added;
    str name = arena_fmt(&r->p->arena, "%.*s%s", STR_ARG(family), suffix);
    if (!name.ptr || !map_put(&r->names, name, 1, &added))
        return exposition_no_memory(r->p, err);
    if (!added)
        return fail(err, STATUS_INVALID,
                    "the name \"%.*s\" belongs to a family above; a family's lines must stand "
                    "together, and its names are its own",
                    SHOW(name));
    return STATUS_OK;
}

static status finish_family(openmetrics_rules *r, error *err)
{
    if (r->family == EXPOSITION_NO_FAMILY)
        return STATUS_OK;
    const exposition_family *f = &r->p->families[r->family];
    status st = r->has_group ? finish_group(r, err) : STATUS_OK;
    if (st == STATUS_OK)
        st = claim_name(r, f->name, "", err);
    for (int i = 0; st == STATUS_OK && suffixes[f->type][i]; i++)
        st = claim_name(r, f->name, suffixes[f->type][i], err);
    if (st != STATUS_OK)
        return st;
    size_t base = f->name.len - MIN(f->unit.len, f->name.len);
    if (f->unit.len && (!str_ends(f->name, f->unit) || base == 0 || f->name.ptr[base - 1] != '_'))
        return fail(err, STATUS_INVALID,
                    "the unit of \"%.*s\" is \"%.*s\", which must be the end "
                    "of the name, behind \"_\"",
                    SHOW(f->name), SHOW(f->unit));
    if (f->unit.len && (f->type == FAMILY_INFO || f->type == FAMILY_STATESET))
        return fail(err, STATUS_INVALID, "\"%.*s\" has a unit, which its type cannot have",
                    SHOW(f->name));
    return STATUS_OK;
}

status openmetrics_family(openmetrics_rules *r, uint32_t family, error *err)
{
    status st = finish_family(r, err);
    r->family = family;
    r->has_group = false;
    hash_set_clear(&r->groups);
    return st;
}

status openmetrics_end(openmetrics_rules *r, error *err)
{
    return finish_family(r, err);
}

/* ---- groups ---- */

/* Samples of one set of labels, but for the label that tells the parts apart. */
static uint64_t group_of(const exposition_family *f, const exposition_sample *s)
{
    str left_out = s->part == PART_QUANTILE     ? STR("quantile")
                   : s->part == PART_BUCKET     ? STR("le")
                   : f->type == FAMILY_STATESET ? f->name
                                                : STR_EMPTY;
    uint64_t h = 1;
    if (f->type == FAMILY_INFO)
        return h;
    for (uint32_t i = 0; i < s->label_count; i++)
        if (!left_out.len || !str_eq(s->labels[i].name, left_out))
            h = hash_mix(h + str_hash(s->labels[i].name), str_hash(s->labels[i].value));
    return h;
}

static status check_group(openmetrics_rules *r, const exposition_family *f,
                          const exposition_sample *s, error *err)
{
    bool added, same_time = true;
    uint64_t group = group_of(f, s);
    if (!hash_set_add(&r->groups, group, &added))
        return exposition_no_memory(r->p, err);
    bool same = r->has_group && group == r->group;
    if (r->has_group && !same && !added)
        return fail(err, STATUS_INVALID,
                    "samples with these labels stand above, behind others; they must stand "
                    "together");
    if (same && s->has_time != r->group_has_time)
        return fail(err, STATUS_INVALID, "within a group all samples have a timestamp, or none");
    if (same && s->has_time && s->time_ms < r->group_time_ms && f->type != FAMILY_INFO)
        return fail(err, STATUS_INVALID,
                    "the timestamp is before the one above, of the same "
                    "group");
    same_time = !same || !s->has_time || s->time_ms == r->group_time_ms;
    status st = r->has_group && (!same || !same_time) ? finish_group(r, err) : STATUS_OK;
    r->has_group = true;
    r->group = group;
    r->group_has_time = s->has_time;
    r->group_time_ms = s->time_ms;
    return st;
}

/* ---- values ---- */

static status check_labels(const exposition_family *f, const exposition_sample *s, error *err)
{
    double q;
    if (f->type == FAMILY_STATESET && exposition_label(s, f->name).len == 0)
        return fail(err, STATUS_INVALID, "a state set's sample needs the label \"%.*s\"",
                    SHOW(f->name));
    if (s->part == PART_QUANTILE &&
        (!exposition_parse_number(exposition_label(s, STR("quantile")), &q) || !(q >= 0 && q <= 1)))
        return fail(err, STATUS_INVALID,
                    "a summary's sample needs a label quantile between 0 and 1");
    return STATUS_OK;
}

static status check_value(const exposition_family *f, const exposition_sample *s, error *err)
{
    bool counts = s->part == PART_BUCKET || s->part == PART_COUNT;
    bool rises = counts || s->part == PART_TOTAL ||
                 (s->part == PART_SUM && f->type != FAMILY_GAUGE_HISTOGRAM);
    double v = s->value;
    if (f->type == FAMILY_STATESET && v != 0 && v != 1)
        return fail(err, STATUS_INVALID, "a state set's values are 0 and 1");
    if (f->type == FAMILY_INFO && v != 1)
        return fail(err, STATUS_INVALID, "an info's value is 1");
    if (s->part == PART_QUANTILE && v < 0)
        return fail(err, STATUS_INVALID, "a quantile's value cannot be below 0");
    if ((rises || s->part == PART_SUM) && isnan(v))
        return fail(err, STATUS_INVALID, "the value cannot be NaN in a counter, count or sum");
    if (rises && v < 0)
        return fail(err, STATUS_INVALID, "the value cannot be below 0 in a counter, count or sum");
    if (counts && v != floor(v))
        return fail(err, STATUS_INVALID, "the value of a count must be a whole number");
    if (s->exemplar_count &&
        !(s->part == PART_TOTAL || (s->part == PART_BUCKET && is_histogram(f->type))))
        return fail(err, STATUS_INVALID,
                    "only buckets and counters (_bucket, _total) may have an exemplar");
    return STATUS_OK;
}

status openmetrics_sample(openmetrics_rules *r, const exposition_sample *s, error *err)
{
    const exposition_family *f = &r->p->families[r->family];
    status st = check_labels(f, s, err);
    if (st == STATUS_OK)
        st = check_value(f, s, err);
    if (st == STATUS_OK)
        st = check_group(r, f, s, err);
    if (st == STATUS_OK && is_histogram(f->type))
        st = histogram_sample(&r->histogram, s, err);
    return st;
}
