// SPDX-License-Identifier: Apache-2.0
/* Reading a configuration file; see config.h and config_read.h. */
#include "pipeline/config.h"

#include "base/file.h"
#include "pipeline/config_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- findings ---- */

static void add_finding(config_reader *r, bool warning, unsigned line, unsigned column,
                        const char *text)
{
    arena *a = &r->c->arena;
    r->errors += !warning;
    /* A message that finds no room is counted; the errors are what the result depends on. */
    if (r->finding_count == CONFIG_ISSUES_MAX) {
        r->more++;
        return;
    }
    if (r->finding_count == r->finding_capacity) {
        uint32_t capacity = r->finding_capacity ? r->finding_capacity * 2 : 16;
        finding *larger = arena_grow(a, r->findings, r->finding_capacity * sizeof(*larger),
                                     capacity * sizeof(*larger));
        if (!larger) {
            r->more++;
            return;
        }
        r->findings = larger;
        r->finding_capacity = capacity;
    }
    str copy = arena_str(a, str_c(text));
    r->findings[r->finding_count] = (finding){ line, column, r->finding_count, warning,
                                               copy.ptr ? copy.ptr : "no memory for the reason" };
    r->finding_count++;
}

static void add_formatted(config_reader *r, bool warning, const yaml_node *at, const char *format,
                          va_list list)
{
    char text[4096];
    vsnprintf(text, sizeof(text), format, list);
    add_finding(r, warning, at ? at->line : 0, at ? at->column : 0, text);
}

void config_error(config_reader *r, const yaml_node *at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_formatted(r, false, at, format, list);
    va_end(list);
}

void config_warning(config_reader *r, const yaml_node *at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_formatted(r, true, at, format, list);
    va_end(list);
}

void *config_add(config_reader *r, void **array, uint32_t *count, uint32_t *capacity, size_t size,
                 uint32_t max, const yaml_node *at)
{
    if (*count == max) {
        config_error(r, at, "more than %u of these", max);
        return NULL;
    }
    if (*count == *capacity) {
        uint32_t larger = *capacity ? *capacity * 2 : 16;
        void *moved = arena_grow(&r->c->arena, *array, *capacity * size, larger * size);
        if (!moved) {
            config_error(r, at, "larger than the memory of a configuration");
            return NULL;
        }
        *array = moved;
        *capacity = larger;
    }
    return (char *)*array + size * (*count)++;
}

static void option_issue(void *user, bool warning, unsigned line, unsigned column, const char *text)
{
    add_finding(user, warning, line, column, text);
}

static void option_authenticator(void *user, const char *who, str id, bool listening,
                                 const yaml_node *at)
{
    config_reader *r = user;
    auth_use *u = config_add(r, (void **)&r->auths, &r->auth_count, &r->auth_capacity, sizeof(*u),
                             CONFIG_COMPONENTS_MAX, at);
    if (u)
        *u = (auth_use){ who, id, listening, at->line, at->column };
}

static int compare_findings(const void *a, const void *b)
{
    const finding *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* One line each, whatever bytes were quoted. */
static void give(const config_reader *r, const finding *f, config_issue *issue, void *user)
{
    buf b;
    buf_init(&b, 8192);
    buf_fmt(&b, "%s:", r->c->path);
    if (f->line)
        buf_fmt(&b, "%u:%u:", f->line, f->column);
    buf_fmt(&b, " %s", f->text);
    for (size_t i = 0; i < b.len; i++)
        if ((unsigned char)b.ptr[i] < ' ' || b.ptr[i] == 0x7f)
            b.ptr[i] = '?';
    buf_char(&b, '\0');
    issue(user, f->warning, b.failed ? f->text : b.ptr);
    buf_done(&b);
}

static status finish(config_reader *r, config_issue *issue, void *user, error *err)
{
    const finding *first = NULL;
    if (r->finding_count)
        qsort(r->findings, r->finding_count, sizeof(*r->findings), compare_findings);
    for (uint32_t i = 0; i < r->finding_count; i++) {
        if (!first && !r->findings[i].warning)
            first = &r->findings[i];
        if (issue)
            give(r, &r->findings[i], issue, user);
    }
    if (r->more && issue) {
        finding more = { .warning = true, .text = "and more of the same; the first ones are told" };
        give(r, &more, issue, user);
    }
    if (r->errors == 0)
        return STATUS_OK;
    if (r->errors == 1 && first)
        return fail(err, STATUS_INVALID, "%s:%u:%u: %s", r->c->path, first->line, first->column,
                    first->text);
    return fail(err, STATUS_INVALID, "%s has %u errors", r->c->path, r->errors);
}

/* ---- the file ---- */

static void check_sections(config_reader *r)
{
    const char *known[COMPONENT_KINDS + 1];
    const yaml_node *root = r->doc.root;
    for (int k = 0; k < COMPONENT_KINDS; k++)
        known[k] = config_sections[k];
    known[COMPONENT_KINDS] = "service";
    for (uint32_t i = 0; i < root->count; i++) {
        const yaml_node *key = root->pairs[i].key;
        bool found = false;
        for (size_t j = 0; j < ARRAY_LEN(known); j++)
            found = found || str_is(key->text, known[j]);
        if (found)
            continue;
        buf b;
        buf_init(&b, 1000);
        option_suggest(&b, key->text, known, ARRAY_LEN(known));
        config_error(r, key, "unknown section \"%.*s\"%.*s", (int)MIN(key->text.len, (size_t)80),
                     key->text.ptr, STR_ARG(buf_view(&b)));
        buf_done(&b);
    }
}

static void read_document(config_reader *r)
{
    if (!r->doc.root || yaml_is_null(r->doc.root)) {
        config_error(r, NULL, "the file is empty: it wants receivers, exporters and service");
        return;
    }
    if (r->doc.root->kind != YAML_MAPPING) {
        config_error(r, r->doc.root, "wants a map with receivers, exporters and service, not %s",
                     yaml_kind_name(r->doc.root));
        return;
    }
    check_sections(r);
    config_substitute(r);
    for (int k = 0; k < COMPONENT_KINDS; k++)
        config_read_components(r, (component_kind)k,
                               yaml_get(r->doc.root, str_c(config_sections[k])));
    config_read_service(r, yaml_get(r->doc.root, STR("service")));
}

status config_parse(config *ret, const char *path, str text, const pair_list *names,
                    config_issue *issue, void *user, error *err)
{
    yaml_error wrong;
    config_reader *r = calloc(1, sizeof(*r));
    memset(ret, 0, sizeof(*ret));
    arena_init(&ret->arena, CONFIG_BYTES_MAX);
    ret->path = arena_str(&ret->arena, str_c(path)).ptr;
    if (!r || !ret->path) {
        free(r);
        arena_done(&ret->arena);
        return fail(err, STATUS_NO_MEMORY, "no memory to read %s", path);
    }
    r->c = ret;
    r->names = names;
    r->options = (option_reader){ .arena = &ret->arena,
                                  .issue = option_issue,
                                  .authenticator = option_authenticator,
                                  .user = r,
                                  .nodes = YAML_NODES_MAX };
    if (yaml_parse(&ret->arena, text, &r->doc, &wrong) == STATUS_OK)
        read_document(r);
    else
        add_finding(r, false, wrong.line, wrong.column, wrong.error.message);
    status st = finish(r, issue, user, err);
    if (st == STATUS_OK)
        config_show(r);
    free(r);
    if (st != STATUS_OK)
        config_done(ret);
    return st;
}

status config_read(config *ret, const char *path, const pair_list *names, config_issue *issue,
                   void *user, error *err)
{
    buf text;
    error why;
    buf_init(&text, YAML_BYTES_MAX + 1);
    status st = file_read(path, &text, &why);
    if (st == STATUS_OK) {
        st = config_parse(ret, path, buf_view(&text), names, issue, user, err);
    } else {
        memset(ret, 0, sizeof(*ret));
        if (issue)
            issue(user, false, why.message);
        st = fail(err, st, "%s", why.message);
    }
    buf_done(&text);
    return st;
}

void config_done(config *c)
{
    arena_done(&c->arena);
    memset(c, 0, sizeof(*c));
}
