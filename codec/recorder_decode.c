// SPDX-License-Identifier: Apache-2.0
/* Records into rows of a batch. A record's bytes are copied into the batch's arena once, and texts
 * point there. Lengths inside are checked against the record's end; what is wrong ends the record
 * there. */
#include "codec/recorder_reader.h"

#include <endian.h>

#define DEDUPE_MAX \
    128u /* attributes compared with each other; what comes after is kept as it is \
          */

#define GROUP_DEPTH_MAX 8u

typedef struct {
    const uint8_t *p, *end;
    arena *arena;
    const redact_rules *rules;
    known_text *known;
    const recorder_site *site;
    uint32_t keyless;     /* attributes so far: the next one's key in the site */
    uint32_t depth;       /* of groups */
    const attrs *seen_in; /* the list whose keys `seen` knows */
    uint64_t seen;        /* a bit for each key's hash: one that is not set is a new key's */
    bool last_wins;       /* of two attributes with one key */
    bool cut;
    bool full; /* the arena has no room */
} decoder;

static bool take(decoder *d, size_t n, const uint8_t **ret)
{
    if ((size_t)(d->end - d->p) < n)
        return false;
    *ret = d->p;
    d->p += n;
    return true;
}

static bool take_u16(decoder *d, uint16_t *ret)
{
    const uint8_t *p;
    if (!take(d, 2, &p))
        return false;
    memcpy(ret, p, 2);
    return true;
}

static bool take_text(decoder *d, str *ret)
{
    uint16_t n;
    const uint8_t *p;
    if (!take_u16(d, &n) || !take(d, n, &p))
        return false;
    *ret = str_n(p, n);
    return true;
}

static bool take_short_text(decoder *d, str *ret)
{
    const uint8_t *n, *p;
    if (!take(d, 1, &n) || !take(d, *n, &p))
        return false;
    *ret = str_n(p, *n);
    return true;
}

/* Exporters may send only valid text. */
static inline str valid_utf8(decoder *d, str s)
{
    if (LIKELY(utf8_valid_prefix(s) == s.len))
        return s;
    str repaired = arena_utf8(d->arena, s);
    if (repaired.ptr)
        return repaired;
    d->full = true;
    return STR_EMPTY;
}

static uint64_t load_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Of length, first and last bytes: enough for a small table of texts that come again and again. */
static uint64_t quick_hash(str s)
{
    uint64_t first = 0, last = 0;
    if (s.len >= 8) {
        first = load_u64(s.ptr);
        last = load_u64(s.ptr + s.len - 8);
    } else if (s.len) {
        first = (uint8_t)s.ptr[0];
        last = (uint64_t)(uint8_t)s.ptr[s.len - 1] << 8 | (uint8_t)s.ptr[s.len / 2];
    }
    return (first + (last << 23 | last >> 41) + s.len) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Valid text without secrets. */
static str clean(decoder *d, str s)
{
    known_text *k = &d->known[quick_hash(s) >> 32 & (KNOWN_TEXTS - 1)];
    if (s.len == k->len && memcmp(s.ptr, k->bytes, s.len) == 0)
        return s;
    str given = s;
    s = valid_utf8(d, s);
    bool changed = redact_text(d->rules, d->arena, s, &s) || s.ptr != given.ptr;
    if (UNLIKELY(changed) && !s.ptr) {
        d->full = true;
        return STR_EMPTY;
    }
    if (!changed && s.len <= sizeof(k->bytes)) {
        k->len = (uint8_t)s.len;
        memcpy(k->bytes, s.ptr, s.len);
    }
    return s;
}

static str marked_as_cut(decoder *d, str s)
{
    str marked = arena_fmt(d->arena, "%.*s\xe2\x80\xa6", STR_ARG(s));
    d->full |= !marked.ptr;
    return marked.ptr ? marked : s;
}

static bool take_attr(decoder *d, uint8_t tag, attr *ret);

/* The attributes of a group: a map. */
static bool take_group(decoder *d, value *ret)
{
    uint16_t count;
    uint32_t capacity = 0;
    const uint8_t *tag;
    attr a;
    *ret = (value){ .type = VALUE_MAP };
    bool good = d->depth < GROUP_DEPTH_MAX && take_u16(d, &count);
    d->depth++;
    for (uint32_t i = 0; good && i < count; i++) {
        good = take(d, 1, &tag) && *tag & RECORDER_TAG_KEY && *tag < RECORDER_TAG_EVENT &&
               take_attr(d, *tag, &a);
        if (good && !attrs_append(d->arena, &ret->map, &capacity, a.key, a.value))
            d->full = true;
        good = good && !d->full;
    }
    d->depth--;
    return good || d->full;
}

static bool take_value(decoder *d, uint8_t tag, value *ret)
{
    const uint8_t *p;
    str text;
    switch (RECORDER_TAG_TYPE(tag)) {
    case RECORDER_TAG_NULL:
        *ret = (value){ .type = VALUE_EMPTY };
        return true;
    case RECORDER_TAG_FALSE:
    case RECORDER_TAG_TRUE:
        *ret = VALUE_B(RECORDER_TAG_TYPE(tag) == RECORDER_TAG_TRUE);
        return true;
    case RECORDER_TAG_REDACTED:
        *ret = VALUE_S(STR("[REDACTED]"));
        return true;
    case RECORDER_TAG_I64:
    case RECORDER_TAG_U64:
    case RECORDER_TAG_F64:
        if (!take(d, 8, &p))
            return false;
        ret->type = RECORDER_TAG_TYPE(tag) == RECORDER_TAG_F64 ? VALUE_F64 : VALUE_I64;
        memcpy(&ret->i64, p, 8);
        if (RECORDER_TAG_TYPE(tag) == RECORDER_TAG_U64 && ret->i64 < 0) {
            /* Beyond OpenTelemetry's integers: the exact digits as text. */
            text = arena_fmt(d->arena, "%llu", (unsigned long long)ret->i64);
            d->full |= !text.ptr;
            *ret = VALUE_S(text);
        }
        return true;
    case RECORDER_TAG_STR:
    case RECORDER_TAG_BYTES:
        if (!take_text(d, &text))
            return false;
        *ret = VALUE_S(text);
        if (RECORDER_TAG_TYPE(tag) == RECORDER_TAG_BYTES) {
            ret->type = VALUE_BYTES;
            if (redact_text(d->rules, d->arena, text, &ret->s) && !ret->s.ptr) {
                ret->s = STR_EMPTY;
                d->full = true;
            }
        } else {
            ret->s = clean(d, text);
            if (tag & RECORDER_TAG_CUT)
                ret->s = marked_as_cut(d, ret->s);
        }
        return true;
    case RECORDER_TAG_GROUP:
        return take_group(d, ret);
    default:
        return false;
    }
}

static bool take_attr(decoder *d, uint8_t tag, attr *ret)
{
    d->cut |= (tag & RECORDER_TAG_CUT) != 0;
    if (tag & RECORDER_TAG_KEY) {
        if (!take_short_text(d, &ret->key))
            return false;
        ret->key = valid_utf8(d, ret->key);
    } else {
        uint32_t i = d->keyless;
        ret->key = d->site && i < d->site->key_count ? d->site->keys[i] : STR("unknown");
    }
    d->keyless += d->depth == 0;
    return take_value(d, tag, &ret->value);
}

static uint64_t key_bit(str key)
{
    return UINT64_C(1) << (quick_hash(key) >> 58);
}

/* Whether the list may have the key; from now on it may. */
static bool may_have(decoder *d, const attrs *list, str key)
{
    uint64_t bit = key_bit(key);
    if (d->seen_in != list || list->count == 0) {
        d->seen_in = list;
        d->seen = 0;
        for (uint32_t i = 0; i < MIN(list->count, DEDUPE_MAX); i++)
            d->seen |= key_bit(list->items[i].key);
    }
    bool may = d->seen & bit;
    d->seen |= bit;
    return may;
}

static void add_attr(decoder *d, attrs *list, uint32_t *capacity, const attr *a)
{
    bool may = may_have(d, list, a->key);
    for (uint32_t i = 0; may && i < MIN(list->count, DEDUPE_MAX); i++) {
        if (str_eq(list->items[i].key, a->key)) {
            if (d->last_wins)
                list->items[i].value = a->value;
            return;
        }
    }
    if (LIKELY(list->count < *capacity))
        list->items[list->count++] = *a;
    else if (!attrs_append(d->arena, list, capacity, a->key, a->value))
        d->full = true;
}

/* Up to `count` attributes; false when the bytes are wrong. */
static bool take_attrs(decoder *d, uint32_t count, attrs *list, uint32_t *capacity)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *tag;
        attr a;
        if (!take(d, 1, &tag) || *tag >= RECORDER_TAG_EVENT || !take_attr(d, *tag, &a))
            return false;
        add_attr(d, list, capacity, &a);
    }
    return true;
}

bool recorder_decode_resource(recorder_reader *r)
{
    decoder d = { .p = r->header.resource,
                  .end = r->header.resource + r->header.resource_bytes,
                  .arena = &r->arena,
                  .rules = &r->redact,
                  .known = r->known,
                  .last_wins = true };
    uint32_t capacity = 0;
    uint8_t *copy = arena_alloc(&r->arena, r->header.resource_bytes + 1);
    if (!copy)
        return false;
    memcpy(copy, d.p, r->header.resource_bytes);
    d.p = copy;
    d.end = copy + r->header.resource_bytes;
    take_attrs(&d, r->header.resource_count, &r->resource, &capacity);
    return !d.full;
}

static char *put_decimal(char *p, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    while (n >= 100) {
        unsigned two = (unsigned)(n % 100);
        n /= 100;
        digits[--at] = (char)('0' + two % 10);
        digits[--at] = (char)('0' + two / 10);
    }
    digits[--at] = (char)('0' + n % 10);
    if (n >= 10)
        digits[--at] = (char)('0' + n / 10);
    memcpy(p, digits + at, sizeof(digits) - at);
    return p + (sizeof(digits) - at);
}

/* Each record needs one, so it is put together by hand. */
str recorder_record_id(const recorder_reader *r, uint32_t ring, uint64_t sequence,
                       char ret[RECORD_ID_MAX])
{
    uint64_t id = htobe64(r->header.id);
    char *p = ret + 16;
    str_to_hex((const uint8_t *)&id, 8, ret);
    *p++ = ':';
    p = put_decimal(p, ring);
    *p++ = ':';
    p = put_decimal(p, sequence);
    return str_n(ret, (size_t)(p - ret));
}

static void add_text_attr(decoder *d, attrs *list, uint32_t *capacity, str key, str text)
{
    str copy = arena_str(d->arena, text);
    if (!copy.ptr || !attrs_append(d->arena, list, capacity, key, VALUE_S(copy)))
        d->full = true;
}

static void add_own(decoder *d, attrs *list, uint32_t *capacity, str record_id)
{
    add_text_attr(d, list, capacity, STR("sonde.record.id"), record_id);
    if (d->cut && !attrs_append(d->arena, list, capacity, STR("sonde.cut"), VALUE_B(true)))
        d->full = true;
}

static void add_code(decoder *d, attrs *list, uint32_t *capacity)
{
    const recorder_site *s = d->site;
    if (!s || !s->file.len)
        return;
    if (!attrs_append(d->arena, list, capacity, STR("code.file.path"), VALUE_S(s->file)) ||
        !attrs_append(d->arena, list, capacity, STR("code.line.number"), VALUE_I(s->line)) ||
        !attrs_append(d->arena, list, capacity, STR("code.function.name"), VALUE_S(s->function)))
        d->full = true;
}

static str severity_name(uint8_t severity)
{
    static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    return severity >= 1 && severity <= 24 ? str_c(names[(severity - 1) / 4]) : STR_EMPTY;
}

static bool open_record(decoder *d, recorder_reader *r, batch *b, const char *record, size_t from,
                        size_t bytes)
{
    uint8_t *copy = arena_alloc_aligned(&b->arena, bytes + 1, 1);
    if (!copy)
        return false;
    memcpy(copy, record + from, bytes);
    *d = (decoder){
        .p = copy, .end = copy + bytes, .arena = &b->arena, .rules = &r->redact, .known = r->known
    };
    return true;
}

decode_result recorder_decode_log(recorder_reader *r, batch *b, uint32_t scope, const char *record,
                                  uint32_t size, str record_id)
{
    recorder_log log;
    decoder d;
    if (size < sizeof(log))
        return DECODE_BAD;
    memcpy(&log, record, sizeof(log));
    if (log.bytes > size - sizeof(log))
        return DECODE_BAD;
    uint32_t row = batch_add_log(b, scope);
    if (row == BATCH_FULL)
        return DECODE_FULL;
    if (!open_record(&d, r, b, record, sizeof(log), log.bytes)) {
        b->logs.count--;
        return DECODE_FULL;
    }
    const uint8_t *ids;
    str event = STR_EMPTY, logger = STR_EMPTY;
    bool good = true;
    if (log.flags & RECORDER_FLAG_TRACE) {
        good = take(&d, 24, &ids);
        if (good) {
            memcpy(&b->logs.trace[row], ids, 16);
            memcpy(&b->logs.span[row], ids + 16, 8);
            b->logs.flags[row] = log.flags & RECORDER_FLAG_SAMPLED ? 1 : 0;
        }
    }
    if (log.site) {
        d.site = recorder_site_get(r, log.site);
        event = d.site->name;
        logger = d.site->logger;
    } else if (good && log.flags & RECORDER_FLAG_INLINE) {
        good = take_short_text(&d, &event);
        if (good && log.flags & RECORDER_FLAG_LOGGER)
            good = take_short_text(&d, &logger);
    }
    if (logger.len)
        scope = recorder_logger_scope(r, b, scope, valid_utf8(&d, logger));
    attrs list = { .dropped = log.dropped };
    /* add_code and add_own add five; a damaged record may claim any number. */
    uint32_t capacity = MIN((uint32_t)log.attributes, 64u) + 5;
    list.items = arena_alloc(d.arena, capacity * sizeof(attr));
    if (!list.items)
        d.full = true;
    uint32_t context = MIN(log.context, log.attributes);
    attr_range range = { 0 };
    if (good && !d.full && scope != BATCH_FULL) {
        good = take_attrs(&d, log.attributes - context, &list, &capacity);
        range.from = list.count;
        if (good && !d.full)
            take_attrs(&d, context, &list, &capacity);
        range.count = list.count - range.from;
    }
    if ((r->options.code_attributes || r->options.code_on_logs) && !d.full)
        add_code(&d, &list, &capacity);
    if (!d.full)
        add_own(&d, &list, &capacity, record_id);
    if (d.full || scope == BATCH_FULL) {
        b->logs.count--;
        return DECODE_FULL;
    }
    b->logs.scope[row] = scope;
    b->logs.context[row] = range;
    b->logs.time_ns[row] = b->logs.observed_ns[row] = recorder_ticks_to_ns(r, log.ticks);
    b->logs.severity[row] = log.severity;
    b->logs.severity_text[row] = severity_name(log.severity);
    b->logs.event_name[row] = clean(&d, event);
    b->logs.body[row] = VALUE_S(b->logs.event_name[row]);
    b->logs.attributes[row] = list;
    return DECODED;
}

/* ---- spans ---- */

typedef struct {
    attrs attributes;
    span_events events;
    span_links links;
    uint32_t attr_capacity, event_capacity, link_capacity;
    str name, status, tracestate;
    int64_t start_ns, end_ns; /* that the program gave; 0: none */
} span_parts;

/* Room for one more element; NULL when the arena is full. */
static void *more_room(decoder *d, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = MAX(4u, *capacity * 2);
    void *larger = arena_grow(d->arena, items, count * size, wanted * size);
    if (larger)
        *capacity = wanted;
    else
        d->full = true;
    return larger;
}

static bool take_i64(decoder *d, int64_t *ret)
{
    const uint8_t *p;
    if (!take(d, 8, &p))
        return false;
    memcpy(ret, p, 8);
    return true;
}

/* `at_ns`: the time is in ns since 1970, not in ticks. */
static bool take_event(recorder_reader *r, decoder *d, span_parts *parts, bool at_ns)
{
    int64_t when;
    uint16_t count;
    str name;
    if (!take_i64(d, &when) || !take_short_text(d, &name) || !take_u16(d, &count))
        return false;
    span_event event = { .time_ns = at_ns ? when : recorder_ticks_to_ns(r, (uint64_t)when),
                         .name = clean(d, name) };
    uint32_t capacity = 0;
    bool good = take_attrs(d, count, &event.attributes, &capacity);
    span_event *items = more_room(d, parts->events.items, parts->events.count,
                                  &parts->event_capacity, sizeof(event));
    if (items) {
        parts->events.items = items;
        items[parts->events.count++] = event;
    }
    return good;
}

/* `full`: with tracestate and attributes. */
static bool take_link(decoder *d, span_parts *parts, bool full)
{
    const uint8_t *p;
    uint16_t count = 0;
    uint32_t capacity = 0;
    bool good = true;
    if (!take(d, 28, &p))
        return false;
    span_link link = { .trace_state = STR_EMPTY };
    memcpy(&link.trace, p, 16);
    memcpy(&link.span, p + 16, 8);
    memcpy(&link.flags, p + 24, 4);
    if (full)
        good = take_text(d, &link.trace_state) && take_u16(d, &count) &&
               take_attrs(d, count, &link.attributes, &capacity);
    link.trace_state = clean(d, link.trace_state);
    span_link *items =
        more_room(d, parts->links.items, parts->links.count, &parts->link_capacity, sizeof(link));
    if (items) {
        parts->links.items = items;
        items[parts->links.count++] = link;
    }
    return good;
}

static void take_stream(recorder_reader *r, decoder *d, span_parts *parts)
{
    const uint8_t *tag;
    bool good = true;
    attr a;
    while (good && !d->full && take(d, 1, &tag)) {
        switch (*tag) {
        case RECORDER_TAG_EVENT:
        case RECORDER_TAG_EVENT_AT:
            good = take_event(r, d, parts, *tag == RECORDER_TAG_EVENT_AT);
            break;
        case RECORDER_TAG_LINK:
        case RECORDER_TAG_LINK_FULL:
            good = take_link(d, parts, *tag == RECORDER_TAG_LINK_FULL);
            break;
        case RECORDER_TAG_START:
            good = take_i64(d, &parts->start_ns);
            break;
        case RECORDER_TAG_END:
            good = take_i64(d, &parts->end_ns);
            break;
        case RECORDER_TAG_NAME:
            good = take_text(d, &parts->name);
            break;
        case RECORDER_TAG_STATUS:
            good = take_text(d, &parts->status);
            break;
        case RECORDER_TAG_TRACESTATE:
            good = take_text(d, &parts->tracestate);
            break;
        default:
            good = *tag < RECORDER_TAG_EVENT && take_attr(d, *tag, &a);
            if (good)
                add_attr(d, &parts->attributes, &parts->attr_capacity, &a);
        }
    }
}

static void fill_span(recorder_reader *r, batch *b, uint32_t row, const recorder_span *s,
                      const span_parts *parts)
{
    span_rows *spans = &b->spans;
    memcpy(&spans->trace[row], s->trace_id, 16);
    memcpy(&spans->span[row], s->span_id, 8);
    memcpy(&spans->parent[row], s->parent_id, 8);
    /* trace/v1: bit 8 says that bit 9 is known; bit 9 that the parent is remote. */
    spans->flags[row] = (s->flags & RECORDER_FLAG_SAMPLED ? 1u : 0u) | 0x100u |
                        (s->flags & RECORDER_FLAG_REMOTE ? 0x200u : 0u);
    spans->name[row] = parts->name;
    spans->kind[row] = s->kind <= SPAN_KIND_CONSUMER ? s->kind : SPAN_KIND_UNSPECIFIED;
    int64_t end_ns = parts->end_ns ? parts->end_ns : recorder_ticks_to_ns(r, s->end_ticks);
    spans->start_ns[row] =
        parts->start_ns ? parts->start_ns : recorder_ticks_to_ns(r, s->start_ticks);
    spans->end_ns[row] = MAX(end_ns, spans->start_ns[row]);
    spans->attributes[row] = parts->attributes;
    spans->events[row] = parts->events;
    spans->links[row] = parts->links;
    spans->trace_state[row] = parts->tracestate;
    spans->status[row] = s->status <= SPAN_STATUS_ERROR ? s->status : SPAN_STATUS_UNSET;
    spans->status_message[row] = parts->status;
}

decode_result recorder_decode_span(recorder_reader *r, batch *b, uint32_t scope, const char *record,
                                   uint32_t size, str record_id)
{
    recorder_span span;
    decoder d;
    if (size < sizeof(span))
        return DECODE_BAD;
    memcpy(&span, record, sizeof(span));
    if (span.bytes > size - sizeof(span))
        return DECODE_BAD;
    uint32_t row = batch_add_span(b, scope);
    if (row == BATCH_FULL)
        return DECODE_FULL;
    if (!open_record(&d, r, b, record, sizeof(span), span.bytes)) {
        b->spans.count--;
        return DECODE_FULL;
    }
    d.last_wins = true;
    d.site = span.site ? recorder_site_get(r, span.site) : NULL;
    span_parts parts = { .attributes = { .dropped = span.dropped },
                         .events = { .dropped = span.dropped_events },
                         .name = d.site ? d.site->name : STR("unknown"),
                         .status = STR_EMPTY,
                         .tracestate = STR_EMPTY };
    /* Most attributes are longer than this, so that the list seldom grows. */
    uint32_t capacity = MIN(span.bytes / 24, 64u) + 5;
    parts.attributes.items = arena_alloc(d.arena, capacity * sizeof(attr));
    parts.attr_capacity = parts.attributes.items ? capacity : 0;
    take_stream(r, &d, &parts);
    if (r->options.code_attributes)
        add_code(&d, &parts.attributes, &parts.attr_capacity);
    add_own(&d, &parts.attributes, &parts.attr_capacity, record_id);
    parts.name = clean(&d, parts.name);
    parts.status = clean(&d, parts.status);
    parts.tracestate = clean(&d, parts.tracestate);
    if (d.full) {
        b->spans.count--;
        return DECODE_FULL;
    }
    fill_span(r, b, row, &span, &parts);
    return DECODED;
}
