// SPDX-License-Identifier: Apache-2.0
/* tracestate and consistent probability sampling; see trace_state.h and OpenTelemetry's
 * "TraceState: Probability Sampling". */
#include "pipeline/trace_state.h"

#include "base/buf.h"

#include <math.h>

enum { DIGITS = 14 };

static str next_part(str *rest, char separator)
{
    return str_trim(str_cut(*rest, separator, rest));
}

str trace_state_get(str list, str key)
{
    while (list.len) {
        str value, member = next_part(&list, ',');
        size_t at = str_find_char(member, '=');
        value = at == SIZE_MAX ? STR_EMPTY : str_slice(member, at + 1, member.len);
        if (at != SIZE_MAX && str_eq(str_slice(member, 0, at), key))
            return value;
    }
    return (str){ NULL, 0 };
}

static bool hexadecimal(str text, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        n = n << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = n;
    return true;
}

bool sampling_threshold_parse(str text, uint64_t *ret)
{
    uint64_t n;
    if (!text.len || text.len > DIGITS || !hexadecimal(text, &n))
        return false;
    *ret = n << (4 * (DIGITS - text.len));
    return true;
}

bool sampling_randomness_parse(str text, uint64_t *ret)
{
    return text.len == DIGITS && hexadecimal(text, ret);
}

str sampling_randomness_text(arena *a, uint64_t randomness)
{
    return arena_fmt(a, "%014llx", (unsigned long long)randomness);
}

str sampling_threshold_text(arena *a, uint64_t threshold)
{
    str s = sampling_randomness_text(a, threshold);
    while (s.len > 1 && s.ptr[s.len - 1] == '0')
        s.len--;
    return s;
}

bool sampling_state_parse(str list, sampling_state *ret)
{
    *ret = (sampling_state){ 0 };
    str rest = trace_state_get(list, STR("ot"));
    while (rest.len) {
        str field = next_part(&rest, ';'), value;
        str key = str_cut(field, ':', &value);
        if (str_is(key, "th")) {
            ret->has_threshold = sampling_threshold_parse(value, &ret->threshold);
            if (!ret->has_threshold)
                return false;
        } else if (str_is(key, "rv")) {
            ret->has_randomness = sampling_randomness_parse(value, &ret->randomness);
            if (!ret->has_randomness)
                return false;
        }
    }
    return true;
}

/* Fields of "ot" but th and rv, which come first in the new one. */
static void write_ot(buf *out, arena *a, str old, const sampling_state *s)
{
    bool first = true;
    if (s->has_randomness || s->has_threshold || old.len)
        buf_lit(out, "ot=");
    if (s->has_randomness) {
        buf_lit(out, "rv:");
        buf_str(out, sampling_randomness_text(a, s->randomness));
        first = false;
    }
    if (s->has_threshold) {
        buf_str(out, first ? STR("th:") : STR(";th:"));
        buf_str(out, sampling_threshold_text(a, s->threshold));
        first = false;
    }
    while (old.len) {
        str field = next_part(&old, ';');
        if (!field.len || str_starts(field, STR("th:")) || str_starts(field, STR("rv:")))
            continue;
        if (!first)
            buf_char(out, ';');
        buf_str(out, field);
        first = false;
    }
}

str sampling_state_write(arena *a, str list, const sampling_state *s)
{
    buf out;
    buf_init(&out, KiB(8));
    write_ot(&out, a, trace_state_get(list, STR("ot")), s);
    if (str_is(buf_view(&out), "ot="))
        buf_clear(&out);
    while (list.len) {
        str member = next_part(&list, ',');
        if (!member.len || str_starts(member, STR("ot=")))
            continue;
        if (out.len)
            buf_char(&out, ',');
        buf_str(&out, member);
    }
    str text = out.failed ? (str){ NULL, 0 } : arena_str(a, buf_view(&out));
    buf_done(&out);
    return text;
}

uint64_t sampling_threshold(double probability, int precision)
{
    if (!(probability < 1))
        return 0;
    /* Leading digits f say nothing of a small probability, and zeros nothing of a large one: the
     * significant ones are behind them. */
    int kept, dropped;
    frexp(probability, &kept);
    frexp(1 - probability, &dropped);
    int digits = MIN((int)DIGITS, precision + MAX(-kept / 4, -dropped / 4));
    uint64_t exact = SAMPLING_MAX - (uint64_t)llround(probability * 0x1p56);
    int shift = 4 * (DIGITS - digits);
    if (shift > 0)
        exact = (exact + (UINT64_C(1) << (shift - 1))) >> shift << shift;
    return MIN(exact, SAMPLING_MAX - 1);
}

double sampling_probability(uint64_t threshold)
{
    return (double)(SAMPLING_MAX - threshold) * 0x1p-56;
}

uint64_t sampling_randomness(const trace_id *id)
{
    uint64_t n = 0;
    for (size_t i = 9; i < 16; i++)
        n = n << 8 | id->bytes[i];
    return n;
}
