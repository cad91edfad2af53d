// SPDX-License-Identifier: Apache-2.0
/* Metric and label names in the escaping schemes of Prometheus
 * (https://prometheus.io/docs/instrumenting/escaping_schemes/): all but underscores keep every
 * character of a name, as it is or in a form that can be turned back. */
#include "codec/prom_name.h"

bool prom_name_is_plain(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

/* The code point at s[0]; *ret_bytes 1 for a byte that begins none. */
static uint32_t code_point(str s, size_t *ret_bytes)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    if (n > s.len || utf8_valid_prefix(str_slice(s, 0, n)) != n)
        n = 1;
    uint32_t v = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        v = v << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    *ret_bytes = n;
    return n == 1 && c >= 0x80 ? 0xfffd : v;
}

static void escape_char(buf *out, str at, size_t index, prom_escaping escaping, size_t *ret_bytes)
{
    char c = at.ptr[0];
    *ret_bytes = 1;
    bool digit = c >= '0' && c <= '9';
    if (c == '_')
        buf_lit(out, "__");
    else if (escaping == PROM_ESCAPE_DOTS && c == '.')
        buf_lit(out, "_dot_");
    else if (prom_name_is_plain(str_n(at.ptr, 1)) || (digit && index > 0))
        buf_char(out, c);
    else if (escaping == PROM_ESCAPE_DOTS) {
        (void)code_point(at, ret_bytes);
        buf_lit(out, "__");
    } else {
        buf_fmt(out, "_%x_", code_point(at, ret_bytes));
    }
}

void prom_escape_name(buf *out, str name, prom_escaping escaping)
{
    if (escaping == PROM_ALLOW_UTF8 || escaping == PROM_UNDERSCORES ||
        (escaping == PROM_ESCAPE_VALUES && prom_name_is_plain(name))) {
        buf_str(out, name);
        return;
    }
    if (escaping == PROM_ESCAPE_VALUES)
        buf_lit(out, "U__");
    for (size_t i = 0, n; i < name.len; i += n)
        escape_char(out, str_slice(name, i, name.len), i, escaping, &n);
}

void prom_native_name(buf *out, str name, bool is_label, prom_escaping escaping)
{
    bool plain = prom_name_is_plain(name) && !(is_label && str_find_char(name, ':') != SIZE_MAX);
    if (plain && escaping != PROM_ESCAPE_DOTS) {
        buf_str(out, name);
        return;
    }
    if (escaping != PROM_UNDERSCORES) {
        prom_escape_name(out, name, escaping);
        return;
    }
    for (size_t i = 0, n = 1; i < name.len; i += n) {
        char c = name.ptr[i];
        bool digit = c >= '0' && c <= '9';
        bool good = prom_name_is_plain(str_n(&c, 1)) || (digit && i > 0);
        n = 1;
        if (!good)
            (void)code_point(str_slice(name, i, name.len), &n);
        buf_char(out, good && !(is_label && c == ':') ? c : '_');
    }
}

/* The name with unit and type as suffixes that it does not have yet, its characters kept. */
static void full_name(buf *out, const batch_metric *m)
{
    str name = m->name;
    prom_type type = prom_type_of(m);
    str last = STR_EMPTY;
    if (type == PROM_COUNTER)
        last = STR("_total");
    else if (m->type == METRIC_GAUGE && str_is(m->unit, "1"))
        last = STR("_ratio");
    if (last.len > 0 && str_ends(name, last) && name.len > last.len)
        name = str_slice(name, 0, name.len - last.len);
    buf unit;
    buf_init(&unit, KiB(4));
    buf_char(&unit, '_');
    prom_unit_name(&unit, m->unit);
    buf_str(out, name);
    str word = str_slice(buf_view(&unit), 1, unit.len);
    bool has_unit = str_ends(name, word) &&
                    (name.len == word.len ||
                     !prom_name_is_plain(str_n(name.ptr + name.len - word.len - 1, 1)) ||
                     name.ptr[name.len - word.len - 1] == '_');
    if (word.len > 0 && !has_unit)
        buf_str(out, buf_view(&unit));
    buf_done(&unit);
    buf_str(out, last);
}

bool prom_metric_name_as(buf *out, const batch_metric *m, prom_escaping escaping)
{
    if (escaping == PROM_UNDERSCORES)
        return prom_metric_name(out, m);
    if (m->name.len == 0 || utf8_valid_prefix(m->name) != m->name.len)
        return false;
    buf name;
    buf_init(&name, KiB(4));
    full_name(&name, m);
    prom_escape_name(out, buf_view(&name), escaping);
    bool ok = !name.failed && !out->failed;
    buf_done(&name);
    return ok;
}

bool prom_label_name_as(buf *out, str key, prom_escaping escaping)
{
    if (escaping == PROM_UNDERSCORES)
        return prom_label_name(out, key);
    if (key.len == 0 || utf8_valid_prefix(key) != key.len)
        return false;
    prom_escape_name(out, key, escaping);
    return !out->failed;
}
