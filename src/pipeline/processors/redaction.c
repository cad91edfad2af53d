// SPDX-License-Identifier: Apache-2.0
/* The processor "redaction": attributes whose keys are not allowed are removed, values that match
 * are masked or hashed, on resources, scopes, spans with their events, data points, and log records
 * with their bodies. What took too many steps to match is masked as a whole. */
#include "pipeline/component.h"
#include "pipeline/pattern.h"
#include "pipeline/processors/edit.h"

#include "codec/batch_rows.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum { LISTS = 4, NAMES_MAX = 256, BODY_DEPTH = 32 };
#define VALUE_LIMIT MiB(16)

typedef struct {
    bool allow_all_keys, redact_all_types;
    text_list allowed_keys, ignored_keys;
    text_list patterns[LISTS];
    int hash_function, summary;
    str hmac_key;
} redaction_settings;

typedef enum { IGNORED_KEYS, BLOCKED_KEYS, BLOCKED_VALUES, ALLOWED_VALUES } pattern_list;
typedef enum { SUMMARY_SILENT, SUMMARY_INFO, SUMMARY_DEBUG } summary_level;

static const char *const pattern_names[LISTS] = { "ignored_key_patterns", "blocked_key_patterns",
                                                  "blocked_values", "allowed_values" };
static const char *const summaries[] = { "silent", "info", "debug", "", NULL };
static const char *const hashes[] = {
    "", "md5", "sha1", "sha3", "hmac-sha256", "hmac-sha512", NULL
};
static const char *const digests[] = { NULL, "MD5", "SHA1", "SHA3-256", "SHA256", "SHA512" };
enum { FIRST_HMAC = 4 };

#define AT(member) offsetof(redaction_settings, member)
static const option redaction_rows[] = {
    { .name = "allow_all_keys",
      .type = OPTION_BOOL,
      .offset = AT(allow_all_keys),
      .help = "keep attributes of any key; allowed_keys is not looked at then" },
    { .name = "allowed_keys",
      .type = OPTION_TEXTS,
      .offset = AT(allowed_keys),
      .help = "attributes of other keys are removed; all of them when the list is empty" },
    { .name = "ignored_keys",
      .type = OPTION_TEXTS,
      .offset = AT(ignored_keys),
      .help = "attributes of these keys pass unchanged" },
    { .name = "ignored_key_patterns",
      .type = OPTION_TEXTS,
      .offset = AT(patterns[IGNORED_KEYS]),
      .help = "the same, as regular expressions of keys" },
    { .name = "blocked_key_patterns",
      .type = OPTION_TEXTS,
      .offset = AT(patterns[BLOCKED_KEYS]),
      .help = "values of keys that match are masked as a whole" },
    { .name = "blocked_values",
      .type = OPTION_TEXTS,
      .offset = AT(patterns[BLOCKED_VALUES]),
      .help = "what matches in values is masked" },
    { .name = "allowed_values",
      .type = OPTION_TEXTS,
      .offset = AT(patterns[ALLOWED_VALUES]),
      .help = "values that match are not masked" },
    { .name = "redact_all_types",
      .type = OPTION_BOOL,
      .offset = AT(redact_all_types),
      .help = "look at numbers, bools, lists and maps as texts too" },
    { .name = "hash_function",
      .type = OPTION_CHOICE,
      .offset = AT(hash_function),
      .choices = hashes,
      .fallback = "",
      .help = "put a hash in the place of what is masked, instead of ****" },
    { .name = "hmac_key",
      .type = OPTION_SECRET,
      .offset = AT(hmac_key),
      .help = "key of hmac-sha256 and hmac-sha512, at least 32 bytes" },
    { .name = "summary",
      .type = OPTION_CHOICE,
      .offset = AT(summary),
      .choices = summaries,
      .fallback = "",
      .help = "what attributes redaction.* tell: info the counts, debug the keys too" },
    { .name = "url_sanitizer", .type = OPTION_IGNORED, .help = "use blocked_values" },
    { .name = "db_sanitizer", .type = OPTION_IGNORED, .help = "use blocked_values" },
};
#undef AT

typedef struct {
    component *component;
    const redaction_settings *s;
    pattern **patterns[LISTS];
    uint32_t counts[LISTS];
    EVP_MD *digest; /* NULL: **** */
} redaction;

/* ---- life ---- */

static status redaction_check(const void *settings, char *where, size_t where_size, error *err)
{
    const redaction_settings *s = settings;
    for (size_t list = 0; list < LISTS; list++)
        for (uint32_t i = 0; i < s->patterns[list].count; i++) {
            pattern *p = NULL;
            status st = pattern_new(&p, s->patterns[list].items[i], false, err);
            pattern_free(p);
            if (st != STATUS_OK) {
                snprintf(where, where_size, "%s[%u]", pattern_names[list], i);
                return st;
            }
        }
    if (s->hash_function < FIRST_HMAC || s->hmac_key.len >= 32)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("hmac_key"));
    return fail(err, STATUS_INVALID, "%s needs a key of at least 32 bytes",
                hashes[s->hash_function]);
}

static void redaction_close(void *self)
{
    redaction *r = self;
    for (size_t list = 0; list < LISTS; list++) {
        for (uint32_t i = 0; i < r->counts[list]; i++)
            pattern_free(r->patterns[list][i]);
        free(r->patterns[list]);
    }
    EVP_MD_free(r->digest);
    free(r);
}

static status compile(redaction *r, size_t list, error *err)
{
    const text_list *texts = &r->s->patterns[list];
    r->patterns[list] = calloc(MAX(texts->count, 1u), sizeof(pattern *));
    if (!r->patterns[list])
        return fail(err, STATUS_NO_MEMORY, "no memory for patterns");
    status st = STATUS_OK;
    for (uint32_t i = 0; i < texts->count && st == STATUS_OK; i++) {
        st = pattern_new(&r->patterns[list][i], texts->items[i], false, err);
        if (st == STATUS_OK)
            r->counts[list]++;
    }
    return st;
}

static status redaction_open(void **ret_self, component *c, error *err)
{
    redaction *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    r->component = c;
    r->s = c->settings;
    status st = STATUS_OK;
    for (size_t list = 0; list < LISTS && st == STATUS_OK; list++)
        st = compile(r, list, err);
    const char *digest = digests[r->s->hash_function];
    if (st == STATUS_OK && digest && !(r->digest = EVP_MD_fetch(NULL, digest, NULL)))
        st = fail(err, STATUS_UNSUPPORTED, "this OpenSSL has no %s", digest);
    if (st == STATUS_OK)
        *ret_self = r;
    else
        redaction_close(r);
    return st;
}

/* ---- values ---- */

/* Keys that something was done to, for the summary. */
typedef struct {
    str names[NAMES_MAX];
    uint32_t count; /* also beyond NAMES_MAX */
} key_list;

typedef struct {
    const redaction *r;
    arena *memory;
    key_list redacted, masked, allowed, ignored;
    bool failed;
} run;

static void note(key_list *l, str key)
{
    if (l->count < NAMES_MAX)
        l->names[l->count] = key;
    l->count++;
}

static bool listed(const text_list *l, str key)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i], key))
            return true;
    return false;
}

static bool any_match(const redaction *r, pattern_list list, str text)
{
    for (uint32_t i = 0; i < r->counts[list]; i++)
        if (pattern_matches(r->patterns[list][i], text))
            return true;
    return false;
}

static void mask_match(void *user, const pattern *p, const str *groups, uint32_t count, buf *out)
{
    const redaction *r = user;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    str text = groups[0];
    (void)p;
    (void)count;
    if (!r->digest)
        buf_lit(out, "****");
    else if (r->s->hash_function >= FIRST_HMAC
                 ? !!HMAC(r->digest, r->s->hmac_key.ptr, (int)r->s->hmac_key.len,
                          (const uint8_t *)text.ptr, text.len, digest, &length)
                 : EVP_Digest(text.ptr, text.len, digest, &length, r->digest, NULL) == 1)
        buf_hex(out, digest, length);
}

static value kept(run *run, buf *out)
{
    str text = out->failed ? (str){ NULL, 0 } : arena_str(run->memory, buf_view(out));
    if (!text.ptr) {
        run->failed = true;
        text = STR_EMPTY;
    }
    return VALUE_S(text);
}

static value mask_whole(run *run, str text)
{
    buf out;
    buf_init(&out, VALUE_LIMIT);
    mask_match((void *)run->r, NULL, &text, 1, &out);
    value v = kept(run, &out);
    buf_done(&out);
    return v;
}

/* True when something in the text was masked. */
static bool mask_parts(run *run, str text, value *ret)
{
    const redaction *r = run->r;
    bool masked = false;
    *ret = VALUE_S(text);
    for (uint32_t i = 0; i < r->counts[BLOCKED_VALUES]; i++) {
        buf out;
        const pattern *p = r->patterns[BLOCKED_VALUES][i];
        pattern_result result = pattern_match(p, ret->s);
        if (result == PATTERN_NO)
            continue;
        buf_init(&out, VALUE_LIMIT);
        if (result == PATTERN_YES)
            result = pattern_replace(p, ret->s, mask_match, (void *)r, &out);
        *ret = result == PATTERN_LIMIT || out.failed ? mask_whole(run, ret->s) : kept(run, &out);
        buf_done(&out);
        masked = true;
    }
    return masked;
}

typedef enum { KEY_SEEN, KEY_IGNORED, KEY_REDACTED } key_fate;

static key_fate fate_of(const redaction *r, str key)
{
    if (listed(&r->s->ignored_keys, key) || any_match(r, IGNORED_KEYS, key))
        return KEY_IGNORED;
    if (!r->s->allow_all_keys && !listed(&r->s->allowed_keys, key))
        return KEY_REDACTED;
    return KEY_SEEN;
}

/* ---- attributes ---- */

static str text_of(run *run, const value *v)
{
    if (v->type == VALUE_STR)
        return v->s;
    if (!run->r->s->redact_all_types)
        return STR_EMPTY;
    str text = value_text(run->memory, v);
    run->failed |= !text.ptr;
    return text.ptr ? text : STR_EMPTY;
}

/* For and against a value whose key may stay. */
static void redact_value(run *run, attr_edit *e, uint32_t i, str key)
{
    value masked;
    const redaction *r = run->r;
    str text = text_of(run, &e->list->items[i].value);
    if (any_match(r, ALLOWED_VALUES, text)) {
        note(&run->allowed, key);
    } else if (any_match(r, BLOCKED_KEYS, key)) {
        note(&run->masked, key);
        attr_edit_put(e, i, mask_whole(run, text));
    } else if (mask_parts(run, text, &masked)) {
        note(&run->masked, key);
        attr_edit_put(e, i, masked);
    }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* One pair of summary attributes; keys NULL: only the count. */
static void summarize(run *run, attr_edit *e, key_list *l, const char *keys, const char *count_key)
{
    summary_level level = (summary_level)run->r->s->summary;
    if (!l->count || (level != SUMMARY_INFO && level != SUMMARY_DEBUG))
        return;
    if (level == SUMMARY_DEBUG && keys) {
        buf out;
        uint32_t have = MIN(l->count, (uint32_t)NAMES_MAX);
        qsort(l->names, have, sizeof(str), by_name);
        buf_init(&out, VALUE_LIMIT);
        for (uint32_t i = 0; i < have; i++) {
            if (i)
                buf_char(&out, ',');
            buf_str(&out, l->names[i]);
        }
        attr_edit_set(e, str_c(keys), kept(run, &out));
        buf_done(&out);
    }
    const value *old = attrs_get(e->list, str_c(count_key));
    int64_t before = old && old->type == VALUE_I64 ? old->i64 : 0;
    attr_edit_set(e, str_c(count_key), VALUE_I(before + l->count));
}

static void forget(run *run)
{
    run->redacted.count = run->masked.count = run->allowed.count = run->ignored.count = 0;
}

static void redact_attributes(run *run, attrs *list)
{
    attr_edit e = attr_edit_of(run->memory, list);
    forget(run);
    for (uint32_t i = 0; i < list->count && !e.failed;) {
        str key = list->items[i].key;
        key_fate fate = fate_of(run->r, key);
        if (fate == KEY_REDACTED) {
            note(&run->redacted, key);
            attr_edit_remove(&e, i);
            continue;
        }
        if (fate == KEY_IGNORED)
            note(&run->ignored, key);
        else
            redact_value(run, &e, i, key);
        i++;
    }
    summarize(run, &e, &run->redacted, "redaction.redacted.keys", "redaction.redacted.count");
    summarize(run, &e, &run->masked, "redaction.masked.keys", "redaction.masked.count");
    summarize(run, &e, &run->allowed, "redaction.allowed.keys", "redaction.allowed.count");
    summarize(run, &e, &run->ignored, NULL, "redaction.ignored.count");
    run->failed |= e.failed;
}

/* ---- bodies ---- */

static void redact_body(run *run, value *v, str path, unsigned depth);

static str path_of(run *run, str path, str key, bool index)
{
    if (!path.len && !index)
        return key;
    str s = arena_fmt(run->memory, "%.*s%s%.*s", STR_ARG(path), path.len ? "." : "", STR_ARG(key));
    run->failed |= !s.ptr;
    return s.ptr ? s : STR_EMPTY;
}

static void redact_map(run *run, attrs *map, str path, unsigned depth)
{
    attr_edit e = attr_edit_of(run->memory, map);
    if (!attr_edit_own(&e)) {
        run->failed = true;
        return;
    }
    for (uint32_t i = 0; i < map->count && !run->failed;) {
        value *v = &map->items[i].value;
        str key = map->items[i].key, here = path_of(run, path, key, false);
        key_fate fate = fate_of(run->r, key);
        if (fate == KEY_REDACTED) {
            note(&run->redacted, here);
            attr_edit_remove(&e, i);
            continue;
        }
        if (fate == KEY_IGNORED) {
            note(&run->ignored, here);
        } else if (any_match(run->r, BLOCKED_KEYS, key)) {
            note(&run->masked, here);
            *v = mask_whole(run, v->type == VALUE_STR ? v->s : STR_EMPTY);
        } else {
            redact_body(run, v, here, depth + 1);
        }
        i++;
    }
}

static void redact_array(run *run, values *list, str path, unsigned depth)
{
    value *own = arena_alloc(run->memory, MAX(list->count, 1u) * sizeof(value));
    if (!own) {
        run->failed = true;
        return;
    }
    if (list->count)
        memcpy(own, list->items, list->count * sizeof(value));
    list->items = own;
    for (uint32_t i = 0; i < list->count && !run->failed; i++) {
        char index[16];
        snprintf(index, sizeof(index), "[%u]", i);
        redact_body(run, &own[i], path_of(run, path, str_c(index), true), depth + 1);
    }
}

static void redact_body(run *run, value *v, str path, unsigned depth)
{
    value masked;
    if (depth > BODY_DEPTH) { /* nobody looks so deep, and nothing may pass unseen */
        note(&run->masked, path);
        *v = mask_whole(run, STR_EMPTY);
        return;
    }
    if (v->type == VALUE_MAP) {
        redact_map(run, &v->map, path, depth);
        return;
    }
    if (v->type == VALUE_ARRAY) {
        redact_array(run, &v->array, path, depth);
        return;
    }
    str text = v->type == VALUE_STR ? v->s : value_text(run->memory, v);
    if (!text.ptr)
        run->failed |= v->type != VALUE_STR;
    else if (any_match(run->r, ALLOWED_VALUES, text))
        note(&run->allowed, path);
    else if (mask_parts(run, text, &masked)) {
        note(&run->masked, path);
        *v = masked;
    }
}

static void redact_log(run *run, batch *b, uint32_t row)
{
    value *body = &b->logs.body[row];
    b->logs.context[row] = (attr_range){ 0, 0 }; /* places in the list change */
    forget(run);
    bool nested = body->type == VALUE_MAP || body->type == VALUE_ARRAY;
    redact_body(run, body, nested ? STR_EMPTY : STR("body"), 0);
    attr_edit e = attr_edit_of(run->memory, &b->logs.attributes[row]);
    summarize(run, &e, &run->redacted, "redaction.body.redacted.keys",
              "redaction.body.redacted.count");
    summarize(run, &e, &run->masked, "redaction.body.masked.keys", "redaction.body.masked.count");
    summarize(run, &e, &run->allowed, "redaction.body.allowed.keys",
              "redaction.body.allowed.count");
    summarize(run, &e, &run->ignored, NULL, "redaction.body.ignored.count");
    run->failed |= e.failed;
}

/* ---- batches ---- */

static void redact_events(run *run, batch *b, uint32_t row)
{
    span_events *events = &b->spans.events[row];
    if (!events->count)
        return;
    span_event *own = ARENA_ARRAY(run->memory, span_event, events->count);
    if (!own) {
        run->failed = true;
        return;
    }
    memcpy(own, events->items, events->count * sizeof(*own));
    events->items = own;
    for (uint32_t i = 0; i < events->count; i++)
        redact_attributes(run, &own[i].attributes);
}

static status redaction_process(void *self, batch *b, error *err)
{
    run *run = arena_alloc(&b->arena, sizeof(*run));
    if (!run)
        return fail(err, STATUS_NO_MEMORY, "no memory to redact %u items", batch_row_count(b));
    run->r = self;
    run->memory = &b->arena;
    run->failed = false;
    for (uint32_t i = 0; i < b->resource_count; i++)
        redact_attributes(run, &b->resources[i].attributes);
    for (uint32_t i = 0; i < b->scope_count; i++)
        redact_attributes(run, &b->scopes[i].attributes);
    for (uint32_t i = 0; i < batch_row_count(b) && !run->failed; i++) {
        if (b->signal == SIGNAL_LOGS)
            redact_log(run, b, i);
        redact_attributes(run, batch_row_attributes(b, i));
        if (b->signal == SIGNAL_TRACES)
            redact_events(run, b, i);
    }
    if (run->failed) /* rather nothing than something that nobody looked at */
        return fail(err, STATUS_NO_MEMORY, "no memory to redact %u items", batch_row_count(b));
    return STATUS_OK;
}

const component_type redaction_processor = {
    .type = "redaction",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Removes attributes that are not allowed, and masks what matches in values.",
    .options = OPTION_TABLE(redaction_rows, redaction_settings),
    .check = redaction_check,
    .open = redaction_open,
    .close = redaction_close,
    .process = redaction_process,
};
