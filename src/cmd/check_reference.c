// SPDX-License-Identifier: Apache-2.0
/* Components and their options as text and as Markdown; see check.h. */
#include "cmd/check.h"
#include "settings/option_read.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 12, PATH_BYTES = 256, COMPONENTS_MAX = 512 };

static const char *const type_names[] = {
    [OPTION_TEXT] = "text",
    [OPTION_SECRET] = "secret",
    [OPTION_BOOL] = "bool",
    [OPTION_INT] = "integer",
    [OPTION_NUMBER] = "number",
    [OPTION_DURATION] = "duration",
    [OPTION_CHOICE] = "choice",
    [OPTION_TEXTS] = "list",
    [OPTION_PAIRS] = "map",
    [OPTION_VALUE] = "any",
    [OPTION_SECTION] = "section",
    [OPTION_SECTIONS] = "list of sections",
    [OPTION_NAMED] = "map of sections",
    [OPTION_INLINE] = "",
    [OPTION_IGNORED] = "",
};

/* Tables that many components have: the reference describes each once. */
static const struct {
    const option_table *table;
    const char *title, *anchor, *help;
} shared[] = {
    { &server_options, "Listening", "listening", "What every component with an endpoint has." },
    { &tls_server_options, "TLS of a listener", "tls-of-a-listener", "The section `tls`." },
    { &cors_options, "CORS", "cors", "The section `cors`." },
    { &auth_options, "Authentication", "authentication", "The section `auth`." },
    { &client_options, "Connecting", "connecting", "What every component that sends has." },
    { &tls_client_options, "TLS to the far side", "tls-to-the-far-side", "The section `tls`." },
    { &exporter_options, "Exporting", "exporting", "What every exporter that sends has." },
    { &retry_options, "Trying again", "trying-again", "The section `retry_on_failure`." },
};

static int find_shared(const option_table *t)
{
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        if (shared[i].table == t)
            return (int)i;
    return -1;
}

/* ---- components, in the order of their names ---- */

static int compare_types(const void *a, const void *b)
{
    const component_type *x = *(const component_type *const *)a;
    const component_type *y = *(const component_type *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->type, y->type);
}

static size_t sorted_types(const component_type **ret)
{
    size_t count;
    const component_type *const *types = component_all(&count);
    count = MIN(count, (size_t)COMPONENTS_MAX);
    memcpy(ret, types, count * sizeof(component_type *));
    qsort(ret, count, sizeof(component_type *), compare_types);
    return count;
}

static void write_signals(const component_type *t, buf *out)
{
    const char *before = "";
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        if (t->signals & (1u << s)) {
            buf_fmt(out, "%s%s", before, signal_name((signal_kind)s));
            before = ", ";
        }
    }
    if (t->produce)
        buf_fmt(out, " to %s", signal_name(t->produces));
}

/* Help as a sentence of its own. */
static void write_sentence(const char *text, buf *out)
{
    size_t length = strlen(text);
    if (length == 0)
        return;
    buf_char(out, text[0] >= 'a' && text[0] <= 'z' ? (char)(text[0] - 'a' + 'A') : text[0]);
    buf_add(out, text + 1, length - 1);
    if (text[length - 1] != '.')
        buf_char(out, '.');
}

void check_list_components(buf *out)
{
    const component_type *types[COMPONENTS_MAX];
    size_t count = sorted_types(types);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || types[i]->kind != types[i - 1]->kind)
            buf_fmt(out, "%s%ss\n", i ? "\n" : "", component_kind_name(types[i]->kind));
        buf_fmt(out, "  %-22s ", types[i]->type);
        write_sentence(types[i]->help, out);
        buf_char(out, '\n');
    }
}

/* ---- text ---- */

/* Where a walk through nested tables is. */
typedef struct {
    buf *out;
    char path[PATH_BYTES];
    const option_table *tables[DEPTH_MAX]; /* entered: a table may contain itself */
    unsigned depth;
    bool stop_at_shared;
} walk;

typedef void visit(walk *w, const option *o);

static const char *path_end(const option *o)
{
    return o->type == OPTION_SECTIONS ? "[]" : o->type == OPTION_NAMED ? ".NAME" : "";
}

static bool enter(walk *w, const option_table *t)
{
    for (unsigned i = 0; i < w->depth; i++)
        if (w->tables[i] == t)
            return false;
    if (w->depth == DEPTH_MAX || (w->stop_at_shared && w->depth && find_shared(t) >= 0))
        return false;
    w->tables[w->depth++] = t;
    return true;
}

static void walk_table(walk *w, const option_table *t, visit *f)
{
    option_at list[OPTION_ROWS_MAX];
    if (!enter(w, t))
        return;
    unsigned count = option_list(t, NULL, list);
    size_t length = strlen(w->path);
    for (unsigned i = 0; i < count; i++) {
        const option *o = list[i].row;
        if (w->stop_at_shared && list[i].table != t && find_shared(list[i].table) >= 0)
            continue;
        snprintf(w->path + length, sizeof(w->path) - length, "%s%s", length ? "." : "", o->name);
        f(w, o);
        if (o->table) {
            size_t end = strlen(w->path);
            snprintf(w->path + end, sizeof(w->path) - end, "%s", path_end(o));
            walk_table(w, o->table, f);
        }
        w->path[length] = '\0';
    }
    w->depth--;
}

static void write_choices(const option *o, const char *quote, buf *out)
{
    for (size_t i = 0; o->choices && o->choices[i]; i++)
        buf_fmt(out, "%s%s%s%s", i ? ", " : "", quote, o->choices[i], quote);
}

static void describe_option(walk *w, const option *o)
{
    if (o->type == OPTION_IGNORED)
        return;
    buf_fmt(w->out, "  %s  (%s", w->path, type_names[o->type]);
    if (o->choices) {
        buf_lit(w->out, ": ");
        write_choices(o, "", w->out);
    }
    if (o->required)
        buf_lit(w->out, "; required");
    if (o->fallback && *o->fallback)
        buf_fmt(w->out, "; default %s", o->fallback);
    buf_fmt(w->out, ")\n      %s\n", o->help ? o->help : "");
}

static void describe_ignored(walk *w, const option *o)
{
    if (o->type == OPTION_IGNORED)
        buf_fmt(w->out, "  %s  %s\n", w->path, o->help);
}

bool check_describe(str type, buf *out)
{
    const component_type *types[COMPONENTS_MAX];
    size_t count = sorted_types(types), found = 0;
    for (size_t i = 0; i < count; i++) {
        const component_type *t = types[i];
        if (!str_is(type, t->type))
            continue;
        buf_fmt(out, "%s%s %s", found++ ? "\n" : "", component_kind_name(t->kind), t->type);
        buf_str(out, t->signals ? STR(": ") : STR_EMPTY);
        write_signals(t, out);
        buf_lit(out, "\n  ");
        write_sentence(t->help, out);
        buf_lit(out, "\n\n");
        walk w = { .out = out };
        walk_table(&w, &t->options, describe_option);
        size_t before = out->len;
        buf_lit(out, "\n  Accepted, without effect here:\n");
        size_t title_end = out->len;
        w = (walk){ .out = out };
        walk_table(&w, &t->options, describe_ignored);
        if (out->len == title_end)
            out->len = before;
    }
    return found > 0;
}

/* ---- Markdown ---- */

/* A text as a table's cell. */
static void write_cell(const char *text, buf *out)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '<')
            buf_char(out, '\\');
        buf_char(out, *text);
    }
}

static void write_row(walk *w, const option *o)
{
    if (o->type == OPTION_IGNORED)
        return;
    buf_fmt(w->out, "| `%s` | %s | ", w->path, type_names[o->type]);
    if (o->required)
        buf_lit(w->out, "required");
    else if (o->fallback && *o->fallback)
        buf_fmt(w->out, "`%s`", o->fallback);
    buf_lit(w->out, " | ");
    write_cell(o->help ? o->help : "", w->out);
    if (o->choices) {
        buf_lit(w->out, ": ");
        write_choices(o, "`", w->out);
    }
    int part = o->table ? find_shared(o->table) : -1;
    if (part >= 0)
        buf_fmt(w->out, ": [%s](#%s)", shared[part].title, shared[part].anchor);
    buf_lit(w->out, " |\n");
}

static void write_ignored(walk *w, const option *o)
{
    if (o->type != OPTION_IGNORED)
        return;
    buf_fmt(w->out, "- `%s`: ", w->path);
    write_cell(o->help ? o->help : "", w->out);
    buf_char(w->out, '\n');
}

static void write_with_title(const option_table *t, const char *title, visit *f, buf *out)
{
    walk w = { .out = out, .stop_at_shared = true };
    size_t before = out->len;
    buf_str(out, str_c(title));
    size_t start = out->len;
    walk_table(&w, t, f);
    if (out->len == start)
        out->len = before;
}

/* Links to the shared tables whose rows stand in this one. */
static void write_inline(const option_table *t, unsigned depth, buf *out)
{
    for (size_t i = 0; i < t->count && depth < DEPTH_MAX; i++) {
        const option *o = &t->rows[i];
        if (o->type != OPTION_INLINE && o->type != OPTION_SECTION)
            continue;
        int part = find_shared(o->table);
        if (part < 0)
            write_inline(o->table, depth + 1, out);
        else if (o->type == OPTION_INLINE && depth == 0)
            buf_fmt(out, "\nAlso those of [%s](#%s).\n", shared[part].title, shared[part].anchor);
        else if (o->type == OPTION_INLINE)
            buf_fmt(out, "\nIts sections also have those of [%s](#%s).\n", shared[part].title,
                    shared[part].anchor);
    }
}

static void write_options(const option_table *t, buf *out)
{
    write_with_title(t, "\n| option | type | default | meaning |\n|---|---|---|---|\n", write_row,
                     out);
    size_t before = out->len;
    write_inline(t, 0, out);
    /* Several sections of one kind say it once. */
    str added = str_slice(buf_view(out), before, out->len), rest, line = STR_EMPTY;
    while (added.len && str_starts(added, STR("\n"))) {
        added = str_slice(added, 1, added.len);
        str next = str_cut(added, '\n', &rest);
        if (line.len && str_eq(line, next))
            out->len -= next.len + 2;
        line = next;
        added = rest;
    }
    write_with_title(t, "\nAccepted, without effect here:\n\n", write_ignored, out);
}

void check_write_reference(buf *out)
{
    const component_type *types[COMPONENTS_MAX];
    size_t count = sorted_types(types);
    buf_lit(out,
            "# Reference of the collector's components\n\n"
            "Made by `tools/reference.py` from the option tables in `src/pipeline/`, as "
            "`sonde check config --reference` prints them.\nHow to use them: "
            "[../collector.md](../collector.md). A path like `protocols.grpc.endpoint` is nested "
            "maps in the file;\n`actions[].key` stands in each element of a list, "
            "`targets.NAME.port` under names of your own.\n");
    for (size_t i = 0; i < count; i++) {
        const component_type *t = types[i];
        if (i == 0 || t->kind != types[i - 1]->kind)
            buf_fmt(out, "\n## %c%ss\n", component_kind_name(t->kind)[0] - 'a' + 'A',
                    component_kind_name(t->kind) + 1);
        buf_fmt(out, "\n### %s %s\n\n", component_kind_name(t->kind), t->type);
        write_sentence(t->help, out);
        if (t->signals) {
            buf_lit(out, " Signals: ");
            write_signals(t, out);
            buf_char(out, '.');
        }
        buf_char(out, '\n');
        write_options(&t->options, out);
    }
    buf_lit(out, "\n## Shared options\n");
    for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
        buf_fmt(out, "\n### %s\n\n%s\n", shared[i].title, shared[i].help);
        write_options(shared[i].table, out);
    }
}
