// SPDX-License-Identifier: Apache-2.0
/* Reading a configuration file: YAML by tables, then routes, receivers, rules, intervals and
 * templates of it, each problem with its place. See config.h. */
#include "rules/notify/config.h"

#include "base/file.h"
#include "base/random.h"
#include "rules/notify/config_make.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { ARENA_MAX = 64 << 20, TEMPLATE_FILES_MAX = 100, TEMPLATE_BYTES_MAX = 1 << 20 };

static const char builtin_text[] = "route:\n"
                                   "  receiver: \"nobody\"\n"
                                   "  group_by: [\"alertname\"]\n"
                                   "receivers:\n"
                                   "  - name: \"nobody\"\n";

/* ---- findings ---- */

static void tell(config_maker *m, bool warning, unsigned line, unsigned column, const char *text)
{
    char whole[4096];
    const char *name = m->config->path.len ? m->config->path.ptr : "built-in";
    if (line)
        snprintf(whole, sizeof(whole), "%s:%u:%u: %s", name, line, column, text);
    else
        snprintf(whole, sizeof(whole), "%s: %s", name, text);
    for (char *p = whole; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    if (!warning && m->errors++ == 0)
        fail(m->err, STATUS_INVALID, "%.440s", whole);
    if (m->issue)
        m->issue(m->user, warning, whole);
}

static void option_issue(void *user, bool warning, unsigned line, unsigned column, const char *text)
{
    /* The reader begins with who is read, which is the file itself here. */
    const char *colon = strstr(text, ": ");
    tell(user, warning, line, column, colon ? colon + 2 : text);
}

void notify_config_wrong(config_maker *m, const char *path, const char *format, ...)
{
    char text[2048], *end = text;
    va_list list;
    const yaml_node *at = m->root ? option_find_path(m->root, path) : NULL;
    snprintf(text, sizeof(text), "%s%s", path, *path ? ": " : "");
    end += strlen(text);
    va_start(list, format);
    vsnprintf(end, sizeof(text) - (size_t)(end - text), format, list);
    va_end(list);
    tell(m, false, at ? at->line : 0, at ? at->column : 0, text);
}

/* ---- templates ---- */

static void read_template(config_maker *m, const char *at, const char *path)
{
    error err;
    buf text;
    buf_init(&text, TEMPLATE_BYTES_MAX);
    status st = file_read(path, &text, &err);
    if (st == STATUS_OK)
        st = template_parse(m->config->templates, str_c(path), buf_view(&text), &err);
    buf_done(&text);
    if (st != STATUS_OK)
        notify_config_wrong(m, at, "%s: %s", path, err.message);
}

/* Relative names count from the file's folder. */
static str beside(arena *a, str file, str name)
{
    size_t slash = file.len;
    while (slash > 0 && file.ptr[slash - 1] != '/')
        slash--;
    if (str_starts(name, STR("/")) || !slash)
        return arena_str(a, name);
    return arena_fmt(a, "%.*s%.*s", (int)slash, file.ptr, STR_ARG(name));
}

static void read_templates(config_maker *m)
{
    config *c = m->config;
    const text_list *patterns = &m->file.templates;
    error err;
    if (!(c->templates = template_set_new(&c->arena, TEMPLATE_ALERTMANAGER)) ||
        template_parse(c->templates, STR("default"), notify_default_templates(), &err) !=
            STATUS_OK) {
        notify_config_wrong(m, "", "the default templates: %s",
                            c->templates ? err.message : "no memory for templates");
        return;
    }
    str *kept = ARENA_ARRAY(&c->arena, str, MAX(patterns->count, 1u));
    for (uint32_t i = 0; kept && i < patterns->count; i++) {
        char at[64];
        glob_t found = { 0 };
        snprintf(at, sizeof(at), "templates[%u]", i);
        kept[i] = beside(&c->arena, c->path, patterns->items[i]);
        if (!kept[i].ptr || glob(kept[i].ptr, 0, NULL, &found) != 0)
            continue; /* no file is no error, as in Alertmanager */
        for (size_t k = 0; k < found.gl_pathc && k < TEMPLATE_FILES_MAX; k++)
            read_template(m, at, found.gl_pathv[k]);
        globfree(&found);
    }
    c->template_files = (text_list){ kept, kept ? patterns->count : 0 };
}

static void mix_file(uint64_t *hash, const char *path)
{
    struct stat s;
    *hash = hash_mix(*hash ^ str_hash(str_c(path)), RANDOM_SPLIT_STEP);
    if (stat(path, &s) == 0)
        *hash = hash_mix(*hash ^ (uint64_t)s.st_mtim.tv_nsec ^ (uint64_t)s.st_mtim.tv_sec << 30 ^
                             (uint64_t)s.st_ino,
                         RANDOM_SPLIT_STEP ^ (uint64_t)s.st_size);
}

uint64_t notify_config_watch(const config *c)
{
    uint64_t hash = 0;
    if (!c->path.len)
        return 0;
    mix_file(&hash, c->path.ptr);
    for (uint32_t i = 0; i < c->template_files.count; i++) {
        glob_t found = { 0 };
        if (c->template_files.items[i].ptr &&
            glob(c->template_files.items[i].ptr, 0, NULL, &found) == 0)
            for (size_t k = 0; k < found.gl_pathc && k < TEMPLATE_FILES_MAX; k++)
                mix_file(&hash, found.gl_pathv[k]);
        globfree(&found);
    }
    return hash;
}

/* Every templated text of a receiver is parsed once, so that mistakes are told at the start. */
static status check_template(void *user, const char *option, str text, error *err)
{
    const template_check *t = user;
    arena scratch;
    arena_init(&scratch, MiB(4));
    template_set *set = template_set_extend(t->maker->config->templates, &scratch);
    status st = set ? template_parse(set, str_c(option), text, err)
                    : fail(err, STATUS_LIMIT, "no memory for a template");
    arena_done(&scratch);
    if (st != STATUS_OK) {
        char path[256];
        snprintf(path, sizeof(path), "%s.%s", t->path, option);
        notify_config_wrong(t->maker, path, "%s", err->message);
    }
    return STATUS_OK;
}

static void check_templates(config_maker *m)
{
    const config *c = m->config;
    for (uint32_t i = 0; c->templates && i < c->receiver_count; i++)
        for (uint32_t k = 0; k < c->receivers[i].count; k++) {
            error err;
            char path[128];
            const integration *g = &c->receivers[i].integrations[k];
            template_check t = { m, path };
            snprintf(path, sizeof(path), "receivers[%u].%s_configs[%u]", i,
                     notify_kind_names[g->kind], g->index);
            (void)integration_templates(g, check_template, &t, &err);
        }
}

/* ---- the whole ---- */

static void read_settings(config_maker *m)
{
    option_reader options = {
        .arena = &m->config->arena,
        .issue = option_issue,
        .user = m,
        .nodes = YAML_NODES_MAX,
        .who = "file",
    };
    option_fill(&options, &notify_file_options, m->root, m->root, &m->file);
}

static void show_original(config_maker *m)
{
    buf out;
    buf_init(&out, MiB(2));
    notify_config_show(&out, m->root);
    m->config->original = arena_str(&m->config->arena, out.failed ? STR_EMPTY : buf_view(&out));
    if (!m->config->original.ptr)
        m->config->original = STR_EMPTY;
    m->config->hash = str_hash(buf_view(&out));
    buf_done(&out);
}

static void make(config_maker *m, str text)
{
    yaml_document doc;
    yaml_error wrong;
    config *c = m->config;
    text = arena_str(&c->arena, text);
    if (!text.ptr || yaml_parse(&c->arena, text, &doc, &wrong) != STATUS_OK) {
        tell(m, false, text.ptr ? wrong.line : 0, text.ptr ? wrong.column : 0,
             text.ptr ? wrong.error.message : "no memory for the file");
        return;
    }
    if (!doc.root || yaml_is_null(doc.root)) {
        tell(m, false, 0, 0, "the file is empty: it wants route and receivers");
        return;
    }
    m->root = doc.root;
    read_settings(m);
    notify_config_make_intervals(m);
    notify_config_make_receivers(m);
    notify_config_make_routes(m);
    notify_config_make_inhibitions(m);
    read_templates(m);
    check_templates(m);
    c->resolve_timeout_ms = m->file.global.resolve_timeout / NS_PER_MS;
    show_original(m);
}

status notify_config_parse(config **ret, const char *path, str text, config_issue *issue,
                           void *user, error *err)
{
    error first = { 0 };
    config *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for a configuration");
    arena_init(&c->arena, ARENA_MAX);
    atomic_init(&c->references, 1);
    /* What the tables read stays: integrations point into it. */
    config_maker *m = ARENA_NEW(&c->arena, config_maker);
    c->path = path ? arena_str(&c->arena, str_c(path)) : STR_EMPTY;
    if (!m || !c->path.ptr) {
        notify_config_unref(c);
        return fail(err, STATUS_NO_MEMORY, "no memory for a configuration");
    }
    *m = (config_maker){ .config = c, .issue = issue, .user = user, .err = &first };
    make(m, text);
    status st = STATUS_OK;
    if (m->errors == 1)
        st = fail(err, STATUS_INVALID, "%s", first.message);
    else if (m->errors)
        st = fail(err, STATUS_INVALID, "%s has %u errors; the first: %.300s",
                  path ? path : "built-in", m->errors, first.message);
    if (st != STATUS_OK) {
        notify_config_unref(c);
        return st;
    }
    *ret = c;
    return STATUS_OK;
}

status notify_config_read(config **ret, const char *path, config_issue *issue, void *user,
                          error *err)
{
    buf text;
    if (!path)
        return notify_config_parse(ret, NULL, str_c(builtin_text), issue, user, err);
    buf_init(&text, YAML_BYTES_MAX + 1);
    status st = file_read(path, &text, err);
    if (st == STATUS_OK)
        st = notify_config_parse(ret, path, buf_view(&text), issue, user, err);
    buf_done(&text);
    if (st == STATUS_OK)
        (*ret)->watched = notify_config_watch(*ret);
    return st;
}

config *notify_config_ref(config *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void integration_done(integration *g)
{
    for (size_t i = 0; i < IDLE_CLIENTS; i++)
        http_client_free(atomic_exchange(&g->idle[i], NULL));
}

void notify_config_unref(config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < c->receiver_count; i++)
        for (uint32_t k = 0; k < c->receivers[i].count; k++)
            integration_done(&c->receivers[i].integrations[k]);
    arena_done(&c->arena);
    free(c);
}

/* ---- for people ---- */

static void describe_route(const route *r, unsigned depth, buf *out)
{
    buf_fmt(out, "%*s%s", (int)(depth * 2 + 2), "", depth ? "" : "every alert");
    if (depth)
        notify_matchers_print(out, &r->matchers);
    buf_fmt(out, " -> %.*s%s\n", STR_ARG(r->receiver->name), r->continues ? " (continue)" : "");
    for (uint32_t i = 0; i < r->route_count; i++)
        describe_route(&r->routes[i], depth + 1, out);
}

void notify_config_describe(const config *c, buf *out)
{
    buf_fmt(out, "routes: %u\n", c->route_count);
    describe_route(&c->root, 0, out);
    buf_fmt(out, "receivers: %u\n", c->receiver_count);
    for (uint32_t i = 0; i < c->receiver_count; i++) {
        buf_fmt(out, "  %.*s:", STR_ARG(c->receivers[i].name));
        for (uint32_t k = 0; k < c->receivers[i].count; k++)
            buf_fmt(out, " %s", notify_kind_names[c->receivers[i].integrations[k].kind]);
        buf_str(out, c->receivers[i].count ? STR("\n") : STR(" tells nobody\n"));
    }
    buf_fmt(out, "inhibit rules: %u\ntime intervals: %u\n", c->inhibit_count, c->interval_count);
}
