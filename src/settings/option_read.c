// SPDX-License-Identifier: Apache-2.0
/* Settings from YAML; see option_read.h. One function for each type of option. */
#include "settings/option_read.h"

#include "base/clock.h"
#include "net/server.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_SHOWN = 80, MESSAGE_MAX = 4096 };

/* What is read where. */
typedef struct {
    option_reader *r;
    const option *row;
    const option_table *table;
    const yaml_node *node; /* not null */
    void *to;
} reading;

/* ---- messages ---- */

/* `name`: of the option below the path, NULL for the section itself. */
static void report(option_reader *r, bool warning, const yaml_node *at, const char *name,
                   const char *text)
{
    buf b;
    buf_init(&b, MESSAGE_MAX);
    buf_fmt(&b, "%s: %s%s%s%s%s", r->who, r->path, *r->path && name ? "." : "", name ? name : "",
            *r->path || name ? ": " : "", text);
    buf_char(&b, '\0');
    r->issue(r->user, warning, at ? at->line : 0, at ? at->column : 0,
             b.failed ? "too long a message" : b.ptr);
    buf_done(&b);
}

static void wrong(const reading *g, const char *format, ...) PRINTF_LIKE(2, 3);
static void wrong(const reading *g, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    report(g->r, false, g->node, g->row->name, text);
}

/* A value as it stands in the file, in quotes, unless it may be a secret. */
typedef struct {
    char text[TEXT_SHOWN + 8];
} shown;

static shown show(const reading *g)
{
    shown s;
    const yaml_node *n = g->node;
    str text = n->source.len ? n->source : n->text;
    if (g->row->type == OPTION_SECRET || g->row->type == OPTION_PAIRS || n->kind != YAML_SCALAR) {
        snprintf(s.text, sizeof(s.text), "this");
        return s;
    }
    size_t dash = n->source.len ? str_find(text, STR(":-")) : SIZE_MAX; /* a default, too */
    size_t cut = utf8_valid_prefix(str_slice(text, 0, MIN(dash, (size_t)TEXT_SHOWN)));
    snprintf(s.text, sizeof(s.text), "\"%.*s%s\"", (int)cut, text.ptr, cut < text.len ? "…" : "");
    return s;
}

static void wrong_kind(const reading *g, const char *wanted)
{
    wrong(g, "wants %s, not %s", wanted, yaml_kind_name(g->node));
}

/* ---- scalars ---- */

static bool is_scalar(const reading *g, const char *wanted)
{
    if (g->node->kind == YAML_SCALAR)
        return true;
    wrong_kind(g, wanted);
    return false;
}

/* Seconds as they would be written: "1h", "100ms", "0s". */
static void format_seconds(char *to, size_t size, double seconds)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" }, { 1e-3, "ms" } };
    size_t i = seconds == 0 ? 3 : 0;
    while (i + 1 < ARRAY_LEN(units) &&
           (seconds < units[i].seconds || fmod(seconds, units[i].seconds) != 0) && seconds != 0)
        i++;
    snprintf(to, size, "%.15g%s", seconds / units[i].seconds, units[i].name);
}

static bool is_in_range(const reading *g, double v)
{
    const option *o = g->row;
    char low[64], high[64];
    if (o->min == o->max || (v >= o->min && v <= o->max))
        return true;
    if (o->type == OPTION_DURATION) {
        format_seconds(low, sizeof(low), o->min);
        format_seconds(high, sizeof(high), o->max);
    } else {
        snprintf(low, sizeof(low), "%.15g", o->min);
        snprintf(high, sizeof(high), "%.15g", o->max);
    }
    wrong(g, "%s is not from %s to %s", show(g).text, low, high);
    return false;
}

static size_t choice_count(const char *const *choices)
{
    size_t n = 0;
    while (choices[n])
        n++;
    return n;
}

/* Index of the choice, or -1 with the message. */
static int find_choice(const reading *g)
{
    const char *const *choices = g->row->choices;
    size_t count = choice_count(choices);
    char text[1024];
    buf b;
    for (size_t i = 0; i < count; i++)
        if (str_is(g->node->text, choices[i]))
            return (int)i;
    buf_init(&b, sizeof(text) - 1);
    option_suggest(&b, g->node->text, choices, count);
    str_copy_c(text, sizeof(text), buf_view(&b));
    buf_done(&b);
    wrong(g, "%s is no choice%s", show(g).text, text);
    return -1;
}

static void read_text(const reading *g)
{
    str text = g->node->text;
    if (!is_scalar(g, "text"))
        return;
    if (str_find_char(text, '\0') != SIZE_MAX)
        wrong(g, "the text has a zero byte in it");
    else if (g->row->address && !http_address_is_written(text))
        wrong(g,
              "%s is no HOST:PORT with a port from 0 to 65535, as in 127.0.0.1:4317 or [::1]:4317",
              show(g).text);
    else if (!g->row->choices || find_choice(g) >= 0)
        *(str *)g->to = text;
}

static void read_bool(const reading *g)
{
    if (is_scalar(g, "true or false") && !yaml_to_bool(g->node, g->to))
        wrong(g, "%s is neither true nor false", show(g).text);
}

static void read_int(const reading *g)
{
    int64_t v;
    if (!is_scalar(g, "a whole number"))
        return;
    if (!yaml_to_i64(g->node, &v) && !option_parse_size(g->node->text, &v))
        wrong(g, "%s is no whole number", show(g).text);
    else if (is_in_range(g, (double)v))
        *(int64_t *)g->to = v;
}

static void read_number(const reading *g)
{
    double v;
    if (!is_scalar(g, "a number"))
        return;
    if (!yaml_to_f64(g->node, &v) || isnan(v))
        wrong(g, "%s is no number", show(g).text);
    else if (is_in_range(g, v))
        *(double *)g->to = v;
}

static void read_duration(const reading *g)
{
    int64_t v;
    if (!is_scalar(g, "a duration"))
        return;
    if (!option_parse_duration(g->node->text, &v))
        wrong(g, "%s is no duration; write 5s, 1m30s, 200ms", show(g).text);
    else if (is_in_range(g, (double)v / NS_PER_S))
        *(int64_t *)g->to = v;
}

static void read_choice(const reading *g)
{
    if (!is_scalar(g, "text"))
        return;
    if (g->node->text.len == 0 && g->row->fallback)
        return; /* "" is "as if absent" */
    int found = find_choice(g);
    if (found >= 0)
        *(int *)g->to = found;
}

/* ---- lists and maps ---- */

static bool has_memory(const reading *g, const void *memory)
{
    if (!memory)
        wrong(g, "larger than the memory of a configuration");
    return memory != NULL;
}

/* Every element that is read counts, so that aliases of aliases end. */
static bool take_nodes(const reading *g, uint32_t count)
{
    if (g->r->nodes < count) {
        g->r->nodes = 0;
        wrong(g, "too large when its aliases are written out");
        return false;
    }
    g->r->nodes -= count;
    return true;
}

/* "a,b" is a list too, as in the Collector. */
static void split_text(const reading *g)
{
    uint32_t count = 1, i = 0;
    str rest = g->node->text;
    text_list *to = g->to;
    *to = (text_list){ 0 };
    for (size_t at = 0; at < rest.len; at++)
        count += rest.ptr[at] == ',';
    str *items = ARENA_ARRAY(g->r->arena, str, count);
    if (rest.len == 0 || !has_memory(g, items))
        return;
    while (rest.len && i < count)
        items[i++] = arena_str(g->r->arena, str_trim(str_cut(rest, ',', &rest)));
    *to = (text_list){ items, i };
}

static void read_texts(const reading *g)
{
    const yaml_node *n = g->node;
    if (n->kind == YAML_SCALAR) {
        split_text(g);
        return;
    }
    if (n->kind != YAML_SEQUENCE) {
        wrong_kind(g, "a list of texts");
        return;
    }
    str *items = ARENA_ARRAY(g->r->arena, str, MAX(n->count, 1u));
    if (!take_nodes(g, n->count) || !has_memory(g, items))
        return;
    for (uint32_t i = 0; i < n->count; i++) {
        reading item = *g;
        item.node = n->items[i];
        item.to = &items[i];
        items[i] = STR_EMPTY;
        read_text(&item);
    }
    *(text_list *)g->to = (text_list){ items, n->count };
}

static void read_pair(const reading *g, text_pair *to, str name, const yaml_node *n)
{
    reading item = *g;
    *to = (text_pair){ name, STR_EMPTY };
    if (yaml_is_null(n))
        return;
    item.node = n;
    item.to = &to->value;
    read_text(&item);
}

/* A map of names to texts, or a list of {name, value}. */
static void read_pairs(const reading *g)
{
    const yaml_node *n = g->node;
    if (n->kind == YAML_SCALAR) {
        wrong_kind(g, "a map of names to texts");
        return;
    }
    text_pair *items = ARENA_ARRAY(g->r->arena, text_pair, MAX(n->count, 1u));
    if (!take_nodes(g, n->count) || !has_memory(g, items))
        return;
    for (uint32_t i = 0; i < n->count; i++) {
        items[i] = (text_pair){ STR_EMPTY, STR_EMPTY };
        if (n->kind == YAML_MAPPING) {
            read_pair(g, &items[i], n->pairs[i].key->text, n->pairs[i].value);
            continue;
        }
        const yaml_node *name = yaml_get(n->items[i], STR("name"));
        if (yaml_is_null(name) || name->kind != YAML_SCALAR) {
            report(g->r, false, n->items[i], g->row->name, "wants {name: …, value: …} in a list");
            continue;
        }
        read_pair(g, &items[i], name->text, yaml_get(n->items[i], STR("value")));
    }
    *(pair_list *)g->to = (pair_list){ items, n->count };
}

static void read_value(const reading *g)
{
    error err;
    if (yaml_to_value(g->r->arena, g->node, g->to, &g->r->nodes, &err) != STATUS_OK)
        wrong(g, "%s", err.message);
}

/* ---- sections ---- */

/* Adds to the path while a section is read; *ret is what option_leave wants. */
static size_t enter(option_reader *r, const char *format, ...) PRINTF_LIKE(2, 3);
static size_t enter(option_reader *r, const char *format, ...)
{
    size_t length = strlen(r->path);
    va_list list;
    va_start(list, format);
    if (length && *format != '[' && length + 1 < sizeof(r->path))
        str_copy_c(r->path + length, sizeof(r->path) - length, STR("."));
    size_t at = strlen(r->path);
    vsnprintf(r->path + at, sizeof(r->path) - at, format, list);
    va_end(list);
    return length;
}

static void read_section(const reading *g)
{
    size_t length = enter(g->r, "%s", g->row->name);
    option_fill(g->r, g->row->table, g->node, g->node, g->to);
    g->r->path[length] = '\0';
    if (g->row->table == &auth_options && g->r->authenticator) {
        const auth_settings *auth = g->to;
        const yaml_node *at = yaml_get(g->node, STR("authenticator"));
        if (auth->authenticator.len)
            g->r->authenticator(g->r->user, g->r->who, auth->authenticator,
                                g->table == &server_options, at ? at : g->node);
    }
}

static void read_sections(const reading *g)
{
    const yaml_node *n = g->node;
    const option_table *t = g->row->table;
    bool named = g->row->type == OPTION_NAMED;
    if (n->kind != (named ? YAML_MAPPING : YAML_SEQUENCE)) {
        wrong_kind(g, named ? "a map of names to maps" : "a list of maps");
        return;
    }
    char *items = arena_calloc(g->r->arena, MAX(n->count, 1u), t->size);
    if (!take_nodes(g, n->count) || !has_memory(g, items))
        return;
    for (uint32_t i = 0; i < n->count && g->r->nodes; i++) {
        const yaml_node *item = named ? n->pairs[i].value : n->items[i];
        size_t length = named ? enter(g->r, "%s.%.*s", g->row->name,
                                      (int)MIN(n->pairs[i].key->text.len, (size_t)60),
                                      n->pairs[i].key->text.ptr)
                              : enter(g->r, "%s[%u]", g->row->name, i);
        option_fill(g->r, t, item, named ? n->pairs[i].key : item, items + i * t->size);
        if (named)
            *(str *)(items + i * t->size) = n->pairs[i].key->text;
        g->r->path[length] = '\0';
    }
    *(section_list *)g->to = (section_list){ items, n->count };
}

static void read_nothing(const reading *g)
{
    (void)g;
}

typedef void read_function(const reading *g);
static read_function *const readers[] = {
    [OPTION_TEXT] = read_text,       [OPTION_SECRET] = read_text,
    [OPTION_BOOL] = read_bool,       [OPTION_INT] = read_int,
    [OPTION_NUMBER] = read_number,   [OPTION_DURATION] = read_duration,
    [OPTION_CHOICE] = read_choice,   [OPTION_TEXTS] = read_texts,
    [OPTION_PAIRS] = read_pairs,     [OPTION_VALUE] = read_value,
    [OPTION_SECTION] = read_section, [OPTION_SECTIONS] = read_sections,
    [OPTION_NAMED] = read_sections,  [OPTION_INLINE] = read_nothing,
    [OPTION_IGNORED] = read_nothing,
};

/* ---- one table ---- */

/* A default is read as if it stood in the file; a wrong one is a bug of its table. */
static void set_default(option_reader *r, const option_at *o)
{
    yaml_document doc;
    yaml_error err;
    const option *row = o->row;
    void *to = o->base + row->offset;
    if (row->type == OPTION_TEXT || row->type == OPTION_SECRET)
        *(str *)to = str_c(row->fallback);
    if (row->type == OPTION_SECTION) {
        size_t length = enter(r, "%s", row->name);
        option_fill(r, row->table, NULL, NULL, to);
        r->path[length] = '\0';
    }
    if (!row->fallback || row->type == OPTION_TEXT || row->type == OPTION_SECRET)
        return;
    yaml_node scalar = { .kind = YAML_SCALAR, .plain = true, .text = str_c(row->fallback) };
    const yaml_node *node = &scalar;
    bool is_tree = row->type >= OPTION_TEXTS;
    if (is_tree && yaml_parse(r->arena, str_c(row->fallback), &doc, &err) == STATUS_OK && doc.root)
        node = doc.root;
    readers[row->type](&(reading){ r, row, o->table, node, to });
}

/* A node whose text was substituted by something that is a list or a map counts as such where one
 * is wanted. */
static const yaml_node *as_wanted(const option *row, const yaml_node *n)
{
    return n && n->tree && row->type >= OPTION_TEXTS ? n->tree : n;
}

static void fill_row(option_reader *r, const option_at *o, const yaml_node *n, const yaml_node *at)
{
    const option *row = o->row;
    const yaml_node *node = as_wanted(row, n ? yaml_get(n, str_c(row->name)) : NULL);
    set_default(r, o);
    if (node && row->type == OPTION_IGNORED && !r->quiet) {
        char text[512];
        snprintf(text, sizeof(text), "has no effect here: %s", row->help);
        report(r, true, node, row->name, text);
    }
    if (node && row->present)
        *(bool *)(o->base + row->present - 1) = true;
    if (node && !yaml_is_null(node)) {
        readers[row->type](&(reading){ r, row, o->table, node, o->base + row->offset });
        return;
    }
    if (node && row->type == OPTION_SECTION) {
        size_t length = enter(r, "%s", row->name);
        option_fill(r, row->table, NULL, node, o->base + row->offset);
        r->path[length] = '\0';
    }
    if (at && row->required) {
        char text[200];
        snprintf(text, sizeof(text), "\"%s\" is missing: %s", row->name, row->help);
        report(r, false, node ? node : at, NULL, text);
    }
}

static void check_unknown(option_reader *r, const yaml_node *n, const option_at *list,
                          unsigned count)
{
    const char *names[OPTION_ROWS_MAX];
    for (uint32_t i = 0; i < n->count; i++) {
        const yaml_node *key = n->pairs[i].key;
        unsigned known = 0, found = 0;
        for (unsigned j = 0; j < count; j++) {
            found += str_is(key->text, list[j].row->name);
            if (list[j].row->type != OPTION_IGNORED)
                names[known++] = list[j].row->name;
        }
        if (found)
            continue;
        buf b;
        buf_init(&b, MESSAGE_MAX);
        buf_fmt(&b, "unknown option \"%.*s\"", (int)MIN(key->text.len, (size_t)TEXT_SHOWN),
                key->text.ptr);
        option_suggest(&b, key->text, names, known);
        buf_char(&b, '\0');
        report(r, false, key, NULL, b.failed ? "unknown option" : b.ptr);
        buf_done(&b);
    }
}

void option_fill(option_reader *r, const option_table *t, const yaml_node *n, const yaml_node *at,
                 void *settings)
{
    option_at list[OPTION_ROWS_MAX];
    unsigned count = option_list(t, settings, list);
    if (n && n->tree)
        n = n->tree;
    if (yaml_is_null(n))
        n = NULL;
    if (n && n->kind != YAML_MAPPING) {
        char text[80];
        snprintf(text, sizeof(text), "wants a map of options, not %s", yaml_kind_name(n));
        report(r, false, n, NULL, text);
        n = NULL;
        at = NULL;
    }
    if (n && r->nodes < n->count) {
        r->nodes = 0;
        report(r, false, n, NULL, "too large when its aliases are written out");
        return;
    }
    r->nodes -= n ? n->count : 0;
    for (unsigned i = 0; i < count; i++)
        fill_row(r, &list[i], n, at);
    if (n)
        check_unknown(r, n, list, count);
}

/* ---- paths ---- */

const yaml_node *option_find_path(const yaml_node *n, const char *path)
{
    str rest = str_c(path);
    while (rest.len) {
        const yaml_node *next = NULL;
        size_t end = 0;
        uint64_t index;
        if (n->tree)
            n = n->tree;
        while (end < rest.len && rest.ptr[end] != '.' && (end == 0 || rest.ptr[end] != '['))
            end++;
        str part = str_slice(rest, 0, end);
        rest = str_slice(rest, end + (end < rest.len && rest.ptr[end] == '.'), rest.len);
        if (!str_starts(part, STR("[")))
            next = yaml_get(n, part);
        else if (str_to_u64(str_slice(part, 1, part.len - 1), &index) && n->kind == YAML_SEQUENCE &&
                 index < n->count)
            next = n->items[index];
        if (!next)
            break;
        n = next;
    }
    return n;
}
