// SPDX-License-Identifier: Apache-2.0
/* Matchers on rows; see row_filter.h. For logs a name is a resource attribute, else a log
 * attribute, else a field of a JSON body; for traces a span attribute, else a resource attribute.
 */
#include "store/row_filter.h"

#include "codec/json.h"

/* What the resource says about one matcher. ELSE_: if the row itself does not have the name. */
enum { NEVER, ALWAYS, ROW_ELSE_NO, ROW_ELSE_YES };

enum { FILTER_SCRATCH = 64 << 20, JSON_FIELD_DEPTH = 32 };

status row_filter_init(row_filter *ret, const row_query *q, error *err)
{
    if (q->matcher_count > ROW_MATCHERS_MAX)
        return fail(err, STATUS_LIMIT, "a query with %u matchers; the limit is %d",
                    q->matcher_count, ROW_MATCHERS_MAX);
    row_filter f = { .signal = q->signal,
                     .from_ns = q->from_ns,
                     .to_ns = q->to_ns,
                     .min_duration_ns = q->min_duration_ns,
                     .max_duration_ns = q->max_duration_ns };
    status st = match_set_init(&f.set, q->matchers, q->matcher_count, q->lines, q->line_count, err);
    if (st != STATUS_OK)
        return st;
    arena_init(&f.memory, FILTER_SCRATCH);
    buf_init(&f.scratch, FILTER_SCRATCH);
    *ret = f;
    return STATUS_OK;
}

void row_filter_done(row_filter *f)
{
    match_set_done(&f->set);
    arena_done(&f->memory);
    buf_done(&f->scratch);
}

static bool is_service(str name)
{
    return str_eq(name, STR("service")) || str_eq(name, STR("service_name")) ||
           str_eq(name, STR("service.name"));
}

/* Names that are fixed fields of a row, and never looked up in the resource. */
static bool is_field(signal_kind signal, str name)
{
    static const str logs[] = { STR_INIT("level"), STR_INIT("detected_level"), STR_INIT("message"),
                                STR_INIT("trace_id"), STR_INIT("span_id") };
    static const str traces[] = { STR_INIT("name"),    STR_INIT("kind"),
                                  STR_INIT("status"),  STR_INIT("trace_id"),
                                  STR_INIT("span_id"), STR_INIT("parent_span_id") };
    const str *names = signal == SIGNAL_LOGS ? logs : traces;
    size_t count = signal == SIGNAL_LOGS ? ARRAY_LEN(logs) : ARRAY_LEN(traces);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(name, names[i]))
            return true;
    }
    return false;
}

/* `service` of a log is the resource attribute of that name where there is one; of a span, and
 * under its other names, it is service.name. */
bool row_filter_resource(row_filter *f, str resource, resource_verdict *ret)
{
    str attributes = enc_resource_attrs(resource);
    bool logs = f->signal == SIGNAL_LOGS;
    for (uint32_t i = 0; i < f->set.count; i++) {
        const match_item *m = &f->set.items[i];
        enc_view v;
        if (is_field(f->signal, m->name)) {
            ret->of[i] = m->takes_empty ? ROW_ELSE_YES : ROW_ELSE_NO;
            continue;
        }
        bool service = is_service(m->name), own = logs && str_eq(m->name, STR("service"));
        bool found = (own && enc_find(attributes, m->name, &v)) ||
                     enc_find(attributes, service ? STR("service.name") : m->name, &v) ||
                     (service && enc_find(attributes, m->name, &v));
        arena_clear(&f->memory);
        bool yes =
            found ? match_value(&f->set, m, enc_text(v, &f->scratch, &f->memory)) : m->takes_empty;
        if (found && (logs || service))
            ret->of[i] = yes ? ALWAYS : NEVER;
        else
            ret->of[i] = yes ? ROW_ELSE_YES : ROW_ELSE_NO;
        if (ret->of[i] == NEVER)
            return false;
    }
    return true;
}

bool row_filter_needs_row(const resource_verdict *v, uint32_t matcher)
{
    return v->of[matcher] == ROW_ELSE_NO;
}

/* ---- fields of one row ---- */

str row_level(const row *r)
{
    static const str names[] = { STR_INIT("trace"), STR_INIT("debug"), STR_INIT("info"),
                                 STR_INIT("warn"),  STR_INIT("error"), STR_INIT("fatal") };
    static const struct {
        str text;
        uint8_t name;
    } texts[] = {
        { STR_INIT("trace"), 0 },       { STR_INIT("debug"), 1 },  { STR_INIT("info"), 2 },
        { STR_INIT("information"), 2 }, { STR_INIT("notice"), 2 }, { STR_INIT("warn"), 3 },
        { STR_INIT("warning"), 3 },     { STR_INIT("err"), 4 },    { STR_INIT("error"), 4 },
        { STR_INIT("critical"), 5 },    { STR_INIT("fatal"), 5 },
    };
    if (r->level >= 1 && r->level <= 24)
        return names[(r->level - 1) / 4];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (str_eq_nocase(r->text[ROW_INFO], texts[i].text))
            return names[texts[i].name];
    }
    return STR_EMPTY;
}

str row_body_text(const row *r, buf *scratch, arena *a)
{
    bytes_reader it = bytes_read(r->text[ROW_MAIN]);
    enc_view v;
    if (r->text[ROW_MAIN].len == 0 || !enc_next_value(&it, &v))
        return STR_EMPTY;
    return enc_text(v, scratch, a);
}

/* A member of the top-level object in a JSON text. */
static bool json_field(str body, str name, arena *a, str *ret)
{
    json_reader r;
    json_read(&r, body, a, JSON_FIELD_DEPTH);
    if (json_next(&r) != JSON_OBJECT)
        return false;
    for (str key; json_next_key(&r, &key);) {
        if (!enc_key_matches(key, name)) {
            if (!json_skip_next(&r))
                return false;
            continue;
        }
        json_type t = json_next(&r);
        const char *start = r.at - 1;
        if (t == JSON_OBJECT || t == JSON_ARRAY) {
            if (!json_skip(&r))
                return false;
            *ret = str_n(start, (size_t)(r.at - start));
        } else if (t == JSON_BOOL) {
            *ret = r.boolean ? STR("true") : STR("false");
        } else if (t == JSON_STRING || t == JSON_NUMBER) {
            *ret = r.text;
        } else {
            *ret = STR_EMPTY;
        }
        return t != JSON_ERROR;
    }
    return false;
}

static bool body_field(row_filter *f, const row *r, const match_item *m, str *ret)
{
    bytes_reader it = bytes_read(r->text[ROW_MAIN]);
    enc_view v, field;
    if (r->text[ROW_MAIN].len == 0 || !enc_next_value(&it, &v))
        return false;
    if (v.type == VALUE_MAP) {
        if (!enc_find(v.bytes, m->name, &field))
            return false;
        *ret = enc_text(field, &f->scratch, &f->memory);
        return true;
    }
    if (v.type != VALUE_STR || str_trim(v.bytes).len == 0 || str_trim(v.bytes).ptr[0] != '{')
        return false;
    return json_field(v.bytes, m->name, &f->memory, ret);
}

static str hex_text(row_filter *f, const uint8_t *bytes, size_t n)
{
    buf_clear(&f->scratch);
    buf_hex(&f->scratch, bytes, n);
    return buf_view(&f->scratch);
}

static bool log_field(row_filter *f, const row *r, str name, str *ret)
{
    if (str_eq(name, STR("level")) || str_eq(name, STR("detected_level")))
        return (*ret = row_level(r)).len > 0;
    if (str_eq(name, STR("message")))
        return (*ret = row_body_text(r, &f->scratch, &f->memory)).len > 0;
    if (str_eq(name, STR("trace_id")) && trace_id_is_set(r->trace))
        return (*ret = hex_text(f, r->trace.bytes, 16)).len > 0;
    if (str_eq(name, STR("span_id")) && span_id_is_set(r->span))
        return (*ret = hex_text(f, r->span.bytes, 8)).len > 0;
    return false;
}

str row_field_text(const row *r, str name)
{
    static const str kinds[] = {
        STR_INIT("unspecified"), STR_INIT("internal"), STR_INIT("server"),
        STR_INIT("client"),      STR_INIT("producer"), STR_INIT("consumer")
    };
    static const str states[] = { STR_INIT("unset"), STR_INIT("ok"), STR_INIT("error") };
    if (str_eq(name, STR("kind")))
        return r->level < ARRAY_LEN(kinds) ? kinds[r->level] : kinds[0];
    if (str_eq(name, STR("status")))
        return r->status < ARRAY_LEN(states) ? states[r->status] : states[0];
    return STR_EMPTY;
}

static bool span_field(row_filter *f, const row *r, str name, str *ret)
{
    *ret = row_field_text(r, name);
    if (str_eq(name, STR("name")))
        *ret = r->text[ROW_MAIN];
    else if (str_eq(name, STR("trace_id")))
        *ret = hex_text(f, r->trace.bytes, 16);
    else if (str_eq(name, STR("span_id")))
        *ret = hex_text(f, r->span.bytes, 8);
    else if (str_eq(name, STR("parent_span_id")) && span_id_is_set(r->parent))
        *ret = hex_text(f, r->parent.bytes, 8);
    return ret->len > 0;
}

/* The value of a name in the row itself; false when absent. */
static bool row_value(row_filter *f, const row *r, const match_item *m, str *ret)
{
    enc_view v;
    bool logs = f->signal == SIGNAL_LOGS;
    if (is_field(f->signal, m->name) &&
        (logs ? log_field(f, r, m->name, ret) : span_field(f, r, m->name, ret)))
        return true;
    if (enc_find(r->text[ROW_ATTRS], m->name, &v)) {
        *ret = enc_text(v, &f->scratch, &f->memory);
        return true;
    }
    return logs && !str_eq(m->name, STR("message")) && body_field(f, r, m, ret);
}

bool row_filter_row(row_filter *f, const row *r, const resource_verdict *v)
{
    if (r->time_ns < f->from_ns || r->time_ns >= f->to_ns)
        return false;
    if (f->signal == SIGNAL_TRACES) {
        int64_t duration = r->extra_ns - r->time_ns;
        if ((f->min_duration_ns && duration < f->min_duration_ns) ||
            (f->max_duration_ns && duration > f->max_duration_ns))
            return false;
    }
    for (uint32_t i = 0; i < f->set.count; i++) {
        if (v->of[i] == ALWAYS)
            continue;
        str value;
        arena_clear(&f->memory);
        bool yes = row_value(f, r, &f->set.items[i], &value)
                       ? match_value(&f->set, &f->set.items[i], value)
                       : v->of[i] == ROW_ELSE_YES;
        if (!yes)
            return false;
    }
    if (f->set.line_count) {
        arena_clear(&f->memory);
        return match_lines(&f->set, row_body_text(r, &f->scratch, &f->memory));
    }
    return true;
}
