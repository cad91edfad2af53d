// SPDX-License-Identifier: Apache-2.0
/* Builds the tree by parent ids, orders siblings by start, and prints depth first. Spans whose
 * parent is missing stand at the top. */
#include "cmd/trace_print.h"

#include "base/clock.h"
#include "base/map.h"
#include "cmd/table.h"

#include <stdlib.h>

enum { NAME_MOST = 60, SERVICE_MOST = 24, BAR_LEAST = 16, DEPTH_MOST = 64 };

typedef struct span_node span_node;
struct span_node {
    const value *span;
    str id, name, service;
    int64_t start_us, duration_us;
    bool error;
    span_node *parent, *first, *next; /* first child, next sibling */
    bool printed;
};

typedef struct {
    const trace_style *style;
    span_node *nodes;
    span_node **order; /* by start */
    uint32_t count;
    int64_t start_us, end_us;
    size_t name_width, service_width, bar_width;
    buf *out;
} waterfall;

static const value *tag(const value *span, const char *key)
{
    values tags = json_items(json_member(span, "tags"));
    for (uint32_t i = 0; i < tags.count; i++)
        if (str_is(json_text(json_member(&tags.items[i], "key")), key))
            return json_member(&tags.items[i], "value");
    return NULL;
}

static str parent_id(const value *span)
{
    values references = json_items(json_member(span, "references"));
    for (uint32_t i = 0; i < references.count; i++)
        if (str_is(json_text(json_member(&references.items[i], "refType")), "CHILD_OF"))
            return json_text(json_member(&references.items[i], "spanID"));
    return STR_EMPTY;
}

static int by_start(const void *a, const void *b)
{
    const span_node *x = *(span_node *const *)a, *y = *(span_node *const *)b;
    if (x->start_us != y->start_us)
        return x->start_us < y->start_us ? -1 : 1;
    if (x->duration_us != y->duration_us)
        return x->duration_us > y->duration_us ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void fill(span_node *n, const value *trace, const value *span)
{
    char process[64];
    const value *error_tag = tag(span, "error");
    str_copy_c(process, sizeof(process), json_text(json_member(span, "processID")));
    const value *owner = json_member(json_member(trace, "processes"), process);
    *n = (span_node){ .span = span,
                      .id = json_text(json_member(span, "spanID")),
                      .name = json_text(json_member(span, "operationName")),
                      .service = json_text(json_member(owner, "serviceName")),
                      .start_us = json_integer(json_member(span, "startTime")),
                      .duration_us = json_integer(json_member(span, "duration")),
                      .error = error_tag && error_tag->type == VALUE_BOOL && error_tag->b };
}

/* True when making p the parent of n would close a circle. */
static bool circular(const span_node *n, const span_node *p)
{
    for (uint32_t i = 0; p && i < 10000; p = p->parent, i++)
        if (p == n)
            return true;
    return p != NULL;
}

static bool build(waterfall *w, const value *trace, arena *a)
{
    values spans = json_items(json_member(trace, "spans"));
    map by_id;
    bool ok = true;
    w->nodes = ARENA_ARRAY(a, span_node, MAX(spans.count, 1));
    w->order = ARENA_ARRAY(a, span_node *, MAX(spans.count, 1));
    if (!w->nodes || !w->order)
        return false;
    map_init(&by_id);
    for (uint32_t i = 0; i < spans.count && ok; i++) {
        fill(&w->nodes[i], trace, &spans.items[i]);
        w->order[i] = &w->nodes[i];
        ok = map_put(&by_id, w->nodes[i].id, i, NULL) != NULL;
    }
    w->count = spans.count;
    qsort(w->order, w->count, sizeof(span_node *), by_start);
    for (uint32_t i = w->count; i > 0 && ok; i--) {
        span_node *n = w->order[i - 1];
        const uint64_t *p = map_get(&by_id, parent_id(n->span));
        if (!p || circular(n, &w->nodes[*p]))
            continue;
        n->parent = &w->nodes[*p];
        n->next = n->parent->first;
        n->parent->first = n;
    }
    map_done(&by_id);
    return ok;
}

static void measure(waterfall *w)
{
    w->start_us = INT64_MAX;
    w->end_us = INT64_MIN;
    for (uint32_t i = 0; i < w->count; i++) {
        const span_node *n = &w->nodes[i];
        size_t depth = 0;
        for (const span_node *p = n->parent; p && depth < DEPTH_MOST; p = p->parent)
            depth++;
        w->start_us = MIN(w->start_us, n->start_us);
        w->end_us = MAX(w->end_us, n->start_us + n->duration_us);
        w->name_width = MAX(w->name_width, text_width(n->name) + 3 * depth);
        w->service_width = MAX(w->service_width, text_width(n->service));
    }
    w->service_width = MIN(w->service_width, (size_t)SERVICE_MOST);
    size_t rest = w->style->width - MIN(w->service_width + 14, (size_t)w->style->width);
    w->name_width = MIN(w->name_width, (size_t)NAME_MOST);
    if (rest < w->name_width + BAR_LEAST)
        w->name_width = rest > BAR_LEAST + 20u ? rest - BAR_LEAST : 20;
    w->bar_width =
        rest > w->name_width + BAR_LEAST ? MIN(rest - w->name_width, (size_t)60) : BAR_LEAST;
}

/* Cut to `width` columns, filled up with spaces; control characters become spaces. */
static void put_padded(buf *out, str text, size_t width)
{
    size_t used = 0;
    bool cut = text_width(text) > width;
    for (size_t i = 0; i < text.len; i++) {
        bool first_byte = ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
        if (first_byte && used + (cut ? 1 : 0) >= width)
            break;
        used += first_byte;
        buf_char(out, (unsigned char)text.ptr[i] < 0x20 ? ' ' : text.ptr[i]);
    }
    if (cut && used < width) {
        buf_lit(out, "…");
        used++;
    }
    for (; used < width; used++)
        buf_char(out, ' ');
}

static void put_bar(waterfall *w, const span_node *n)
{
    int64_t total = MAX(w->end_us - w->start_us, 1);
    size_t from = (size_t)((n->start_us - w->start_us) * (int64_t)w->bar_width / total);
    size_t to =
        (size_t)((n->start_us + n->duration_us - w->start_us) * (int64_t)w->bar_width / total);
    from = MIN(from, w->bar_width - 1);
    to = MIN(MAX(to, from + 1), w->bar_width);
    for (size_t i = 0; i < w->bar_width; i++)
        buf_str(w->out, i < from || i >= to ? STR(" ") : n->duration_us ? STR("█") : STR("▏"));
}

static void put_duration(buf *out, int64_t us)
{
    char memory[40];
    buf text = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    clock_format_duration(&text, us * NS_PER_US);
    for (size_t i = text.len; i < 9; i++)
        buf_char(out, ' ');
    buf_str(out, buf_view(&text));
}

static void put_span(waterfall *w, span_node *n, str indent, bool last)
{
    char memory[NAME_MOST * 8];
    buf name = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    bool red = w->style->color && n->error;
    buf_str(&name, indent);
    if (n->parent)
        buf_str(&name, last ? STR("└─ ") : STR("├─ "));
    buf_str(&name, str_slice(n->name, 0, sizeof(memory) / 2));
    if (red)
        buf_lit(w->out, "\033[31m");
    put_padded(w->out, n->service, w->service_width);
    buf_lit(w->out, "  ");
    put_padded(w->out, buf_view(&name), w->name_width);
    buf_char(w->out, ' ');
    put_bar(w, n);
    buf_char(w->out, ' ');
    put_duration(w->out, n->duration_us);
    if (n->error) {
        str why = json_text(tag(n->span, "otel.status_description"));
        buf_lit(w->out, "  error");
        if (why.len)
            buf_fmt(w->out, ": %.*s", STR_ARG(str_slice(why, 0, 120)));
    }
    if (red)
        buf_lit(w->out, "\033[0m");
    buf_char(w->out, '\n');
    n->printed = true;
}

static void put_tree(waterfall *w, span_node *n, char *indent, size_t length, unsigned depth,
                     bool last)
{
    put_span(w, n, str_n(indent, length), last);
    size_t below = length;
    if (n->parent && depth < DEPTH_MOST) {
        str bar = last ? STR("   ") : STR("│  ");
        memcpy(indent + length, bar.ptr, bar.len);
        below += bar.len;
    }
    for (span_node *c = n->first; c && depth < 1000; c = c->next)
        put_tree(w, c, indent, below, depth + 1, !c->next);
}

static void put_head(waterfall *w, str id)
{
    char memory[40];
    buf text = { .ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory) };
    uint32_t errors = 0;
    for (uint32_t i = 0; i < w->count; i++)
        errors += w->nodes[i].error;
    clock_format_rfc3339(&text, w->start_us * NS_PER_US, 3);
    buf_fmt(w->out, "trace %.*s  %.*s  %u span%s, ", STR_ARG(id), STR_ARG(buf_view(&text)),
            w->count, w->count == 1 ? "" : "s");
    clock_format_duration(w->out, (w->end_us - w->start_us) * NS_PER_US);
    if (errors)
        buf_fmt(w->out, ", %u error%s", errors, errors == 1 ? "" : "s");
    buf_char(w->out, '\n');
}

bool trace_print(const trace_style *style, const value *trace, arena *a, buf *out)
{
    waterfall w = { .style = style, .out = out };
    char indent[DEPTH_MOST * 5 + 8];
    if (!build(&w, trace, a))
        return false;
    if (!w.count)
        return true;
    measure(&w);
    put_head(&w, json_text(json_member(trace, "traceID")));
    for (uint32_t i = 0; i < w.count; i++)
        if (!w.order[i]->parent && !w.order[i]->printed)
            put_tree(&w, w.order[i], indent, 0, 0, true);
    return true;
}
