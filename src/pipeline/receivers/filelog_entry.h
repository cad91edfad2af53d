// SPDX-License-Identifier: Apache-2.0
/* A log entry on its way through filelog's operators, fields of it ("attributes.user", "body",
 * `resource["a.b"]`), expressions over it, times and severities. An entry's memory is an arena that
 * its user gives; everything here may be used by one thread at a time. */
#ifndef SONDE_PIPELINE_FILELOG_ENTRY_H
#define SONDE_PIPELINE_FILELOG_ENTRY_H

#include "codec/batch.h"
#include "settings/option.h"

typedef struct {
    arena *arena;
    int64_t time_ns, observed_ns;
    uint8_t severity;
    str severity_text;
    value body;
    attrs attributes, resource;
    trace_id trace;
    span_id span;
    uint32_t flags;
    str scope_name;
    uint64_t start, end; /* bytes in the file, from and behind */
} filelog_entry;

/* ---- fields ---- */

enum { FIELD_DEPTH = 8 };

typedef enum { FIELD_NONE, FIELD_BODY, FIELD_ATTRIBUTES, FIELD_RESOURCE } field_root;

typedef struct {
    field_root root; /* FIELD_NONE: the option is absent */
    str keys[FIELD_DEPTH];
    uint32_t depth;
} filelog_field;

/* Texts point into `text`. */
MUST_USE status filelog_field_parse(filelog_field *ret, str text, error *err);
/* *ret lives as long as the entry is not changed. False: there is no such field. */
bool filelog_get(const filelog_entry *e, const filelog_field *f, value *ret);
/* Makes the maps on the way; false when there is no memory. */
MUST_USE bool filelog_set(filelog_entry *e, const filelog_field *f, value v);
MUST_USE bool filelog_remove(filelog_entry *e, const filelog_field *f);

/* ---- expressions ---- */

/* A part of the language expr: fields, texts, numbers, true, false, nil, == != < <= > >=, matches,
 * contains, startsWith, endsWith, and, or, not (also &&, ||, !), parentheses. */
typedef struct filelog_expr filelog_expr;
MUST_USE status filelog_expr_parse(filelog_expr **ret, str text, error *err);
void filelog_expr_free(filelog_expr *x); /* NULL is fine */
bool filelog_expr_true(const filelog_expr *x, const filelog_entry *e);

/* ---- times ---- */

typedef enum { LAYOUT_STRPTIME, LAYOUT_GOTIME, LAYOUT_EPOCH } layout_type;
extern const char *const filelog_layout_types[];

/* A layout made ready. */
enum { LAYOUT_TOKENS = 64 };
typedef struct {
    char kind; /* 0: the literal text; else what time_layout.c says */
    str literal;
} layout_token;
typedef struct {
    layout_type type;
    bool local; /* times without a zone are the machine's, else UTC */
    str epoch;
    layout_token tokens[LAYOUT_TOKENS];
    uint32_t count;
} filelog_layout;
MUST_USE status filelog_layout_parse(filelog_layout *ret, layout_type type, str layout,
                                     str location, error *err);
MUST_USE bool filelog_time_parse(const filelog_layout *l, const value *v, int64_t now_ns,
                                 int64_t *ret_ns);

#endif
