// SPDX-License-Identifier: Apache-2.0
/* Where one entry of a file ends and the next begins: at line ends, or at a pattern. Longer ones
 * than max_log_size are cut into pieces, none of which is lost. */
#include "pipeline/receivers/filelog.h"

#include <ctype.h>

/* A piece does not end within a character. */
static size_t cut_at(str data, size_t max)
{
    size_t n = MIN(data.len, max);
    for (size_t back = 0; back < 4 && n > back + 1 && n < data.len; back++)
        if (((unsigned char)data.ptr[n - back] & 0xC0) != 0x80)
            return n - back;
    return n;
}

static str trimmed(const filelog_splitter *s, str text)
{
    if (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len && text.ptr[text.len - 1] == '\r')
        text.len--;
    while (!s->keep_trailing && text.len && isspace((unsigned char)text.ptr[text.len - 1]))
        text.len--;
    while (!s->keep_leading && text.len && isspace((unsigned char)*text.ptr))
        text = str_slice(text, 1, text.len);
    return text;
}

/* Finds where the first entry ends; what counts of it ends at *ret_text_end. 0: not known. */
static size_t find_line(str data, size_t *ret_text_end)
{
    size_t at = str_find_char(data, '\n');
    *ret_text_end = at;
    return at == SIZE_MAX ? 0 : at + 1;
}

static bool find(const pattern *p, str data, size_t from, size_t *ret_start, size_t *ret_end)
{
    str whole;
    if (from > data.len || pattern_find(p, data, from, &whole, 1) != PATTERN_YES)
        return false;
    *ret_start = (size_t)(whole.ptr - data.ptr);
    *ret_end = *ret_start + whole.len;
    return true;
}

static size_t find_start(const filelog_splitter *s, str data, size_t *ret_text_end)
{
    size_t start, end;
    if (!find(s->start, data, 0, &start, &end))
        return 0;
    if (start == 0 && !find(s->start, data, MAX(end, (size_t)1), &start, &end))
        return 0;
    *ret_text_end = start;
    return start;
}

static size_t find_end(const filelog_splitter *s, str data, bool flush, size_t *ret_text_end)
{
    size_t start, end;
    /* A match at the very end may go on in what is not read yet. */
    if (!find(s->end, data, 0, &start, &end) || end == 0 || (end == data.len && !flush))
        return 0;
    *ret_text_end = s->omit ? start : end;
    return end;
}

size_t filelog_split(const filelog_splitter *s, str data, bool flush, str *ret_text)
{
    size_t text_end = 0, begin = 0, taken;
    *ret_text = STR_EMPTY;
    if (!data.len)
        return 0;
    if (s->start)
        taken = find_start(s, data, &text_end);
    else if (s->end)
        taken = find_end(s, data, flush, &text_end);
    else
        taken = find_line(data, &text_end);
    if (!taken && flush)
        taken = text_end = data.len;
    if ((!taken && data.len > s->max) || (taken && text_end > s->max))
        taken = text_end = cut_at(data, s->max);
    if (!taken)
        return 0;
    if (s->start && s->omit) {
        size_t at, end;
        if (find(s->start, str_slice(data, 0, text_end), 0, &at, &end) && at == 0)
            begin = end;
    }
    *ret_text = trimmed(s, str_slice(data, begin, text_end));
    return taken;
}
