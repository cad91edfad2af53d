// SPDX-License-Identifier: Apache-2.0
/* Go's text/template as Prometheus's rules and Alertmanager's notifications use it: parsed once
 * into an arena, executed any number of times over a value. A parsed template is immutable: any
 * number of threads may execute it, each with an arena and a buffer of its own. Errors carry Go's
 * texts
 * ("template: NAME:1: function \"x\" not defined"); nothing that a template says ends the program.
 * Reference of the functions: docs/reference/templates.md. */
#ifndef SONDE_RULES_TEMPLATE_H
#define SONDE_RULES_TEMPLATE_H

#include "query/promql/promql.h"

/* ---- values ---- */

typedef enum {
    TEMPLATE_NIL, /* no value; printed "<no value>" */
    TEMPLATE_BOOL,
    TEMPLATE_INT,
    TEMPLATE_FLOAT,
    TEMPLATE_STRING,
    TEMPLATE_LIST,
    TEMPLATE_MAP,    /* keys are strings; members in any order, walked and printed by key */
    TEMPLATE_STRUCT, /* members in their order; a member that is not there is an error */
    TEMPLATE_TIME,
    TEMPLATE_DURATION,
    TEMPLATE_OTHER /* printed as `text` and passed on, as a histogram is */
} template_kind;

typedef struct template_type template_type; /* Go's name and methods of a value */
typedef struct template_member template_member;

typedef struct template_value {
    template_kind kind;
    const template_type *type; /* NULL: the plain one of the kind */
    union {
        bool boolean;
        int64_t integer; /* TEMPLATE_DURATION: ns */
        double number;
        str text;
        struct {
            const struct template_value *items;
            size_t count;
        } list;
        struct {
            const template_member *items;
            size_t count;
        } map; /* and struct */
        struct {
            int64_t ns;       /* since 1970 */
            int32_t offset_s; /* of the zone, east of UTC */
            char zone[8];     /* its abbreviation; empty: UTC */
        } time;
    };
} template_value;

struct template_member {
    str name;
    template_value value;
};

/* Types of Alertmanager's data. KV: SortedPairs, Names, Values, Remove. Alerts: Firing, Resolved
 * (by the member Status of each). */
extern const template_type template_type_kv;     /* of a TEMPLATE_MAP of strings */
extern const template_type template_type_alerts; /* of a TEMPLATE_LIST of template_type_alert */
extern const template_type template_type_alert;  /* of a TEMPLATE_STRUCT */
extern const template_type template_type_data;   /* of a TEMPLATE_STRUCT */
/* map[string]string: what is absent is the empty text. */
extern const template_type template_type_labels;

static inline template_value template_text(str text)
{
    return (template_value){ .kind = TEMPLATE_STRING, .text = text };
}

static inline template_value template_number(double number)
{
    return (template_value){ .kind = TEMPLATE_FLOAT, .number = number };
}

static inline template_value template_time(int64_t ns)
{
    return (template_value){ .kind = TEMPLATE_TIME, .time = { .ns = ns } };
}

static inline template_value template_list(const template_value *items, size_t count,
                                           const template_type *type)
{
    return (template_value){ .kind = TEMPLATE_LIST, .type = type, .list = { items, count } };
}

static inline template_value template_struct(const template_member *items, size_t count,
                                             const template_type *type)
{
    return (template_value){ .kind = TEMPLATE_STRUCT, .type = type, .map = { items, count } };
}

/* A map of the labels, of type template_type_labels or template_type_kv. Texts are not copied.
 * False without memory. */
MUST_USE bool template_label_map(arena *a, const label *items, uint32_t count,
                                 const template_type *type, template_value *ret);

/* ---- parsing ---- */

typedef enum { TEMPLATE_PROMETHEUS, TEMPLATE_ALERTMANAGER } template_dialect; /* which functions */

typedef struct template_set template_set; /* named templates that can call each other */

/* An empty set; it and all that is parsed into it live in `a`. NULL without memory. */
template_set *template_set_new(arena *a, template_dialect dialect);

/* Parses `text` as the template `name`, and what it defines by {{define}} and {{block}}; a later
 * definition of a name takes the place of an earlier one. The set is unchanged when it fails
 * (STATUS_INVALID, or STATUS_LIMIT when the arena is full). One thread at a time, and none that
 * executes. The text is copied. */
MUST_USE status template_parse(template_set *set, str name, str text, error *err);

bool template_has(const template_set *set, str name);

/* A set that knows the templates of `base`, and can take more without changing it: for a text that
 * is parsed for one execution. It lives in `a`, shorter than base. */
template_set *template_set_extend(const template_set *base, arena *a);

/* ---- execution ---- */

typedef struct {
    int64_t now_ms; /* now, since */
    str external_url;
    /* The function `query`: a TEMPLATE_LIST as of template_vector. NULL: an error for who calls. */
    status (*query)(void *user, str expression, arena *a, template_value *ret, error *err);
    void *user;
    bool html;           /* what actions print is escaped for HTML, but for safeHtml's results */
    size_t output_limit; /* bytes; 0: 1 MiB */
    uint64_t step_limit; /* actions and iterations; 0: 1 million */
} template_context;

/* Appends what the template prints to `out`. `a` takes what is computed on the way and may be
 * cleared afterwards. STATUS_INVALID with Go's text, STATUS_LIMIT at a limit. Nothing is appended
 * when it fails. */
MUST_USE status template_execute(const template_set *set, str name, const template_value *data,
                                 const template_context *context, arena *a, buf *out, error *err);

/* ---- rules ---- */

/* A label or annotation of the alert `alert_name`: knows $labels, $externalLabels, $externalURL and
 * $value. *ret lives in `a`. The error's text is the one of Prometheus's rule files. */
MUST_USE status template_parse_alert(template_set **ret, arena *a, str alert_name, str text,
                                     error *err);

typedef struct {
    labels labels;          /* of the result, with its name */
    labels external_labels; /* external_url is the context's */
    double value;
    const histogram *histogram; /* NULL: value counts */
} template_alert;

/* Appends the label's or annotation's text. When the template fails, that text is "<error expanding
 * template: …>" as Prometheus has it, `err` says why and the status tells; it is to be used all the
 * same. */
status template_expand_alert(const template_set *set, const template_alert *data,
                             const template_context *context, arena *a, buf *out, error *err);

/* A query's instant vector (or scalar) as a list of {Labels, Value}. False without memory. */
MUST_USE bool template_vector(arena *a, const promql_result *result, template_value *ret);

/* docs/reference/templates.md */
void template_write_reference(buf *out);

#endif
