// SPDX-License-Identifier: Apache-2.0
/* Pipelines as text: receivers on the left, exporters on the right, processors on the line between.
 *
 *   traces
 *     otlp ────┬─▶ memory_limiter ─▶ batch ─┬─▶ sonde
 *     jaeger ──┘                            └─▶ forward ─▶ traces/2
 */
#include "pipeline/config_read.h"

/* Columns that a text takes: ids are mostly ASCII; every other code point counts as one. */
static size_t width(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

static void repeat(buf *out, const char *what, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_str(out, str_c(what));
}

/* An id; a connector with the pipelines at its other end. */
static void put_end(const config *c, const config_pipeline *p, uint32_t component, bool is_far,
                    buf *out)
{
    const config_component *part = &c->components[component];
    const char *before = "";
    if (part->kind == COMPONENT_CONNECTOR && is_far) {
        for (uint32_t i = 0; i < c->pipeline_count; i++) {
            if (config_connects(c, component, &c->pipelines[i], p)) {
                buf_fmt(out, "%s%s", before, c->pipelines[i].id);
                before = ", ";
            }
        }
        buf_lit(out, " ─▶ ");
    }
    buf_str(out, str_c(part->id));
    if (part->kind == COMPONENT_CONNECTOR && !is_far) {
        buf_lit(out, " ─▶ ");
        for (uint32_t i = 0; i < c->pipeline_count; i++) {
            if (config_connects(c, component, p, &c->pipelines[i])) {
                buf_fmt(out, "%s%s", before, c->pipelines[i].id);
                before = ", ";
            }
        }
    }
}

static str end_text(const config *c, const config_pipeline *p, uint32_t component, bool is_far,
                    buf *scratch)
{
    buf_clear(scratch);
    put_end(c, p, component, is_far, scratch);
    return buf_view(scratch);
}

/* The stroke that joins line `row` of `count` ends with the chain, which runs on line 0. */
static const char *joint(uint32_t row, uint32_t count, bool is_left)
{
    if (row >= count)
        return " ";
    if (count == 1)
        return "─";
    if (row == 0)
        return "┬";
    return row + 1 < count ? (is_left ? "┤" : "├") : (is_left ? "┘" : "└");
}

static void draw_line(const config *c, const config_pipeline *p, uint32_t row, size_t left,
                      str chain, buf *out)
{
    buf scratch;
    buf_init(&scratch, KiB(64));
    buf_lit(out, "  ");
    if (row < p->receiver_count) {
        str text = end_text(c, p, p->receivers[row], true, &scratch);
        buf_str(out, text);
        buf_char(out, ' ');
        repeat(out, "─", left - width(text) + 1);
    } else {
        repeat(out, " ", left + 2);
    }
    buf_str(out, str_c(joint(row, p->receiver_count, true)));
    if (row == 0)
        buf_str(out, chain);
    else
        repeat(out, " ", width(chain));
    if (row < p->exporter_count) {
        buf_str(out, str_c(joint(row, p->exporter_count, false)));
        buf_lit(out, "─▶ ");
        buf_str(out, end_text(c, p, p->exporters[row], false, &scratch));
    }
    while (out->len && out->ptr[out->len - 1] == ' ')
        out->len--;
    buf_char(out, '\n');
    buf_done(&scratch);
}

static void draw_pipeline(const config *c, const config_pipeline *p, buf *out)
{
    size_t left = 0;
    buf chain, scratch;
    buf_init(&chain, KiB(256));
    buf_init(&scratch, KiB(64));
    for (uint32_t i = 0; i < p->receiver_count; i++)
        left = MAX(left, width(end_text(c, p, p->receivers[i], true, &scratch)));
    for (uint32_t i = 0; i < p->processor_count; i++)
        buf_fmt(&chain, "─▶ %s ", c->components[p->processors[i]].id);
    buf_lit(&chain, "─");
    buf_fmt(out, "%s\n", p->id);
    for (uint32_t row = 0; row < MAX(p->receiver_count, p->exporter_count); row++)
        draw_line(c, p, row, left, buf_view(&chain), out);
    buf_done(&chain);
    buf_done(&scratch);
}

void config_draw(const config *c, buf *out)
{
    for (uint32_t i = 0; i < c->pipeline_count; i++) {
        buf_str(out, i ? STR("\n") : STR_EMPTY);
        draw_pipeline(c, &c->pipelines[i], out);
    }
    for (uint32_t i = 0; i < c->extension_count; i++)
        buf_fmt(out, "%s%s", i ? ", " : "\nextensions: ", c->components[c->extensions[i]].id);
    buf_str(out, c->extension_count ? STR("\n") : STR_EMPTY);
}
