// SPDX-License-Identifier: Apache-2.0
/* YAML to a tree; see yaml.h. libfyaml gives events; its own documents are not used, since limits
 * on depth, aliases and merges are kept here, while the tree grows. */
#include "settings/yaml.h"

#include "base/buf.h"

#include <libfyaml.h>
#include <stdlib.h>

typedef struct {
    str name;
    yaml_node *node;
    bool open; /* its node has not ended: an alias to it would be inside of it */
} anchor;

/* A sequence or mapping whose end has not come. */
typedef struct {
    yaml_node *node;
    uint32_t first;  /* of its children on the stack of children */
    uint32_t anchor; /* index + 1; 0: none */
} level;

typedef struct {
    arena *arena;
    struct fy_parser *parser;
    struct fy_token_iter *iter;
    str source;
    buf text; /* of the newest token */
    yaml_document *doc;
    yaml_error *err;
    level levels[YAML_DEPTH_MAX];
    uint32_t depth;
    yaml_node **children; /* of all open levels: keys and values in turn for mappings */
    uint32_t child_count, child_capacity;
    uint32_t node_capacity;
    anchor *anchors;
    uint32_t anchor_count, anchor_capacity;
    uint32_t documents;
    uint32_t budget; /* nodes and pairs that may still be made */
} builder;

static status no_memory(yaml_error *err)
{
    return fail(&err->error, STATUS_NO_MEMORY, "no memory for what stands here");
}

#define fail_at(b_, node_, code_, ...) \
    ((b_)->err->line = (node_)->line, (b_)->err->column = (node_)->column, \
     fail(&(b_)->err->error, (code_), __VA_ARGS__))

/* Room for one more element of an array in the arena. */
static bool grow(arena *a, void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t larger = *capacity ? *capacity * 2 : 64;
    void *moved = arena_grow(a, *array, *capacity * size, larger * size);
    if (!moved)
        return false;
    *array = moved;
    *capacity = larger;
    return true;
}

#define GROW(a_, array_, count_, capacity_) \
    grow((a_), (void **)&(array_), (count_), &(capacity_), sizeof(__typeof__(*(array_))))

static yaml_node *new_node(builder *b, yaml_kind kind, struct fy_event *e)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    if (b->budget == 0 || !GROW(b->arena, b->doc->nodes, b->doc->count, b->node_capacity))
        return NULL;
    yaml_node *n = ARENA_NEW(b->arena, yaml_node);
    if (!n)
        return NULL;
    b->budget--;
    n->kind = kind;
    n->line = mark ? (unsigned)mark->line + 1 : 0;
    n->column = mark ? (unsigned)mark->column + 1 : 0;
    b->doc->nodes[b->doc->count++] = n;
    return n;
}

/* What stands between single quotes: a doubled quote is one; a line break is a space, each further
 * one is itself; white space around breaks is not of the text. */
static void unquote(str raw, buf *out)
{
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] != '\n' && raw.ptr[i] != '\r') {
            size_t step = str_starts(str_slice(raw, i, raw.len), STR("''")) ? 2 : 1;
            buf_char(out, raw.ptr[i]);
            i += step;
            continue;
        }
        unsigned breaks = 0;
        while (out->len && (out->ptr[out->len - 1] == ' ' || out->ptr[out->len - 1] == '\t'))
            out->len--;
        for (; i < raw.len && strchr(" \t\r\n", raw.ptr[i]); i++)
            breaks += raw.ptr[i] == '\n' ||
                      (raw.ptr[i] == '\r' && (i + 1 == raw.len || raw.ptr[i + 1] != '\n'));
        if (breaks == 1)
            buf_char(out, ' ');
        for (; breaks > 1; breaks--)
            buf_char(out, '\n');
    }
}

/* A copy of the token's text; .ptr is NULL without memory. fy_token_get_text of libfyaml 0.7 leaks
 * for texts of many chunks, so that chunks are taken one by one; its chunks of doubled quotes are
 * wrong where several follow each other, so that such texts are read from the source. */
static str token_text(builder *b, struct fy_token *token)
{
    const struct fy_iter_chunk *chunk = NULL;
    int wrong = 0;
    if (!token)
        return arena_str(b->arena, STR_EMPTY);
    buf_clear(&b->text);
    if (fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED) {
        size_t from = fy_token_start_mark(token)->input_pos;
        unquote(str_slice(b->source, from, fy_token_end_mark(token)->input_pos), &b->text);
        return b->text.failed ? (str){ 0 } : arena_str(b->arena, buf_view(&b->text));
    }
    fy_token_iter_start(token, b->iter);
    while ((chunk = fy_token_iter_chunk_next(b->iter, chunk, &wrong)))
        buf_add(&b->text, chunk->str, chunk->len);
    fy_token_iter_finish(b->iter);
    return b->text.failed || wrong ? (str){ 0 } : arena_str(b->arena, buf_view(&b->text));
}

static status limit_reached(builder *b)
{
    return fail(&b->err->error, STATUS_LIMIT, "more than %d nodes, or more memory than a file may",
                YAML_NODES_MAX);
}

/* ---- anchors ---- */

static status set_anchor(builder *b, struct fy_token *token, yaml_node *n, uint32_t *ret)
{
    *ret = 0;
    if (!token)
        return STATUS_OK;
    if (!GROW(b->arena, b->anchors, b->anchor_count, b->anchor_capacity))
        return no_memory(b->err);
    b->anchors[b->anchor_count] = (anchor){ token_text(b, token), n, n->kind != YAML_SCALAR };
    *ret = ++b->anchor_count;
    return STATUS_OK;
}

/* The newest of that name, as YAML wants it. The name is not told: it may be a password that
 * begins with a star. */
static status find_anchor(builder *b, str name, const yaml_node *at, yaml_node **ret)
{
    for (uint32_t i = b->anchor_count; i-- > 0;) {
        if (!str_eq(b->anchors[i].name, name))
            continue;
        if (b->anchors[i].open)
            return fail_at(b, at, STATUS_INVALID, "this alias stands inside of what it means");
        *ret = b->anchors[i].node;
        return STATUS_OK;
    }
    return fail_at(b, at, STATUS_INVALID,
                   "this alias (*) means no anchor (&) before it; text that begins with * wants "
                   "quotes");
}

/* ---- mappings ---- */

static int compare_keys(const void *a, const void *b)
{
    const yaml_pair *x = a, *y = b;
    int order = str_cmp(x->key->text, y->key->text);
    if (order != 0)
        return order;
    return x->key->line != y->key->line ? (x->key->line < y->key->line ? -1 : 1)
                                        : (x->key->column < y->key->column ? -1 : 1);
}

/* Keys in order, to find equal ones: small mappings are the rule and large ones must not cost the
 * square of their size. */
static status check_keys(builder *b, const yaml_pair *pairs, uint32_t count)
{
    if (count < 2)
        return STATUS_OK;
    yaml_pair *sorted = malloc(count * sizeof(*sorted));
    if (!sorted)
        return no_memory(b->err);
    memcpy(sorted, pairs, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_keys);
    status st = STATUS_OK;
    for (uint32_t i = 1; i < count && st == STATUS_OK; i++) {
        const yaml_node *key = sorted[i].key, *first = sorted[i - 1].key;
        if (str_eq(key->text, first->text))
            st = fail_at(b, key, STATUS_INVALID,
                         "\"%.*s\" stands twice in this map; first on line %u",
                         (int)MIN(key->text.len, (size_t)80), key->text.ptr, first->line);
    }
    free(sorted);
    return st;
}

static bool is_merge(const yaml_node *key)
{
    return key->plain && str_is(key->text, "<<");
}

static bool has_key(const yaml_pair *pairs, uint32_t count, str key)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(pairs[i].key->text, key))
            return true;
    return false;
}

/* Appends the pairs of `from`, whose keys differ, where they are not there yet. The budget counts
 * comparisons here, 32 for one, so that many merges of large maps end. */
static status merge_one(builder *b, yaml_node *n, uint32_t *capacity, const yaml_node *from,
                        const yaml_node *at)
{
    if (from->kind != YAML_MAPPING)
        return fail_at(b, at, STATUS_INVALID, "\"<<\" wants a map or a list of maps, not %s",
                       yaml_kind_name(from));
    uint32_t before = n->count;
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t cost = 1 + before / 32;
        if (b->budget < cost)
            return limit_reached(b);
        b->budget -= cost;
        if (has_key(n->pairs, before, from->pairs[i].key->text))
            continue;
        if (!GROW(b->arena, n->pairs, n->count, *capacity))
            return no_memory(b->err);
        n->pairs[n->count++] = from->pairs[i];
    }
    return STATUS_OK;
}

/* Own keys win over merged ones, earlier merged ones over later ones. */
static status merge(builder *b, yaml_node *n, const yaml_node *source)
{
    uint32_t capacity = n->count;
    status st = STATUS_OK;
    if (source->kind != YAML_SEQUENCE)
        return merge_one(b, n, &capacity, source, source);
    for (uint32_t i = 0; i < source->count && st == STATUS_OK; i++)
        st = merge_one(b, n, &capacity, source->items[i], source->items[i]);
    return st;
}

static status end_mapping(builder *b, yaml_node *n, yaml_node **children, uint32_t count)
{
    const yaml_node *merged = NULL;
    n->pairs = ARENA_ARRAY(b->arena, yaml_pair, MAX(count / 2, 1u));
    if (!n->pairs)
        return no_memory(b->err);
    for (uint32_t i = 0; i + 1 < count; i += 2) {
        if (children[i]->kind != YAML_SCALAR)
            return fail_at(b, children[i], STATUS_INVALID, "a key must be text, not %s",
                           yaml_kind_name(children[i]));
        /* A value of nothing has no place: it is told by its key. */
        if (children[i + 1]->line == 0) {
            children[i + 1]->line = children[i]->line;
            children[i + 1]->column = children[i]->column;
        }
        if (is_merge(children[i]) && merged)
            return fail_at(b, children[i], STATUS_INVALID,
                           "\"<<\" stands twice in this map; give "
                           "it a list: <<: [*a, *b]");
        if (is_merge(children[i]))
            merged = children[i + 1];
        else
            n->pairs[n->count++] = (yaml_pair){ children[i], children[i + 1] };
    }
    status st = check_keys(b, n->pairs, n->count);
    return st == STATUS_OK && merged ? merge(b, n, merged) : st;
}

/* ---- events ---- */

static status add_child(builder *b, yaml_node *n)
{
    if (b->depth == 0) {
        b->doc->root = n;
        return STATUS_OK;
    }
    if (!GROW(b->arena, b->children, b->child_count, b->child_capacity))
        return no_memory(b->err);
    b->children[b->child_count++] = n;
    return STATUS_OK;
}

static status begin(builder *b, yaml_kind kind, struct fy_event *e, struct fy_token *anchor_token)
{
    uint32_t anchored;
    yaml_node *n = new_node(b, kind, e);
    if (!n)
        return limit_reached(b);
    if (b->depth == YAML_DEPTH_MAX)
        return fail_at(b, n, STATUS_LIMIT, "nested more than %d levels deep", YAML_DEPTH_MAX);
    status st = set_anchor(b, anchor_token, n, &anchored);
    if (st == STATUS_OK)
        st = add_child(b, n);
    if (st == STATUS_OK)
        b->levels[b->depth++] = (level){ n, b->child_count, anchored };
    return st;
}

static status end(builder *b)
{
    level top = b->levels[--b->depth];
    yaml_node **children = b->children ? b->children + top.first : NULL;
    uint32_t count = b->child_count - top.first;
    status st = STATUS_OK;
    if (top.node->kind == YAML_MAPPING) {
        st = end_mapping(b, top.node, children, count);
    } else if (count) {
        top.node->items = arena_alloc(b->arena, count * sizeof(yaml_node *));
        if (!top.node->items)
            return no_memory(b->err);
        memcpy(top.node->items, children, count * sizeof(yaml_node *));
        top.node->count = count;
    }
    b->child_count = top.first;
    if (top.anchor)
        b->anchors[top.anchor - 1].open = false;
    return st;
}

static status scalar(builder *b, struct fy_event *e)
{
    uint32_t anchored;
    yaml_node *n = new_node(b, YAML_SCALAR, e);
    if (!n)
        return limit_reached(b);
    /* An empty value has no token. */
    struct fy_token *token = e->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    n->plain = !e->scalar.tag && style == FYSS_PLAIN;
    /* The mark is behind the quote. */
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && n->column > 1)
        n->column--;
    n->text = token_text(b, token);
    if (!n->text.ptr)
        return limit_reached(b);
    status st = set_anchor(b, e->scalar.anchor, n, &anchored);
    return st == STATUS_OK ? add_child(b, n) : st;
}

static status alias(builder *b, struct fy_event *e)
{
    yaml_node *meant = NULL, at = { 0 };
    const struct fy_mark *mark = fy_event_start_mark(e);
    at.line = mark ? (unsigned)mark->line + 1 : 0;
    at.column = mark ? (unsigned)mark->column : 0; /* the mark is behind the star */
    if (b->budget == 0)
        return limit_reached(b);
    b->budget--;
    status st = find_anchor(b, token_text(b, e->alias.anchor), &at, &meant);
    return st == STATUS_OK ? add_child(b, meant) : st;
}

static status take_event(builder *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (b->documents++ == 0)
            return STATUS_OK;
        b->err->line = b->err->column = 0;
        return fail(&b->err->error, STATUS_INVALID,
                    "more than one document; there must be no second \"---\"");
    case FYET_SCALAR:
        return scalar(b, e);
    case FYET_ALIAS:
        return alias(b, e);
    case FYET_SEQUENCE_START:
        return begin(b, YAML_SEQUENCE, e, e->sequence_start.anchor);
    case FYET_MAPPING_START:
        return begin(b, YAML_MAPPING, e, e->mapping_start.anchor);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return end(b);
    default:
        return STATUS_OK;
    }
}

/* What libfyaml collected; its first finding is the cause of the others. */
static status syntax_error(builder *b, struct fy_diag *diag)
{
    void *previous = NULL;
    struct fy_diag_error *first = fy_diag_errors_iterate(diag, &previous);
    if (!first || !first->msg)
        return fail(&b->err->error, STATUS_INVALID, "this is no YAML");
    b->err->line = first->line > 0 ? (unsigned)first->line : 0;
    b->err->column = first->column > 0 ? (unsigned)first->column : 0;
    return fail(&b->err->error, STATUS_INVALID, "this is no YAML: %s", first->msg);
}

static status take_all(builder *b, struct fy_diag *diag)
{
    struct fy_event *e;
    status st = STATUS_OK;
    while (st == STATUS_OK && (e = fy_parser_parse(b->parser))) {
        st = take_event(b, e);
        fy_parser_event_free(b->parser, e);
    }
    if (st == STATUS_OK && fy_parser_get_stream_error(b->parser))
        st = syntax_error(b, diag);
    return st;
}

static status check_bytes(str text, yaml_error *err)
{
    if (text.len > YAML_BYTES_MAX)
        return fail(&err->error, STATUS_LIMIT, "larger than %d MiB", YAML_BYTES_MAX >> 20);
    size_t valid = utf8_valid_prefix(text), zero = str_find_char(text, '\0');
    size_t wrong = MIN(valid, zero);
    if (wrong >= text.len)
        return STATUS_OK;
    err->line = err->column = 1;
    for (size_t i = 0; i < wrong; i++) {
        err->column = text.ptr[i] == '\n' ? 1 : err->column + 1;
        err->line += text.ptr[i] == '\n';
    }
    return fail(&err->error, STATUS_INVALID, "this is no text in UTF-8");
}

status yaml_parse(arena *a, str text, yaml_document *ret, yaml_error *err)
{
    *ret = (yaml_document){ 0 };
    err->line = err->column = 0;
    status st = check_bytes(text, err);
    if (st != STATUS_OK)
        return st;
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_slice(text, 3, text.len);
    struct fy_diag *diag =
        fy_diag_create(&(struct fy_diag_cfg){ .level = FYET_ERROR, .module_mask = ~0u });
    struct fy_parser *parser = NULL;
    builder *b = calloc(1, sizeof(*b));
    if (diag && b) {
        buf_init(&b->text, YAML_BYTES_MAX + 1);
        b->iter = fy_token_iter_create(NULL);
        fy_diag_set_collect_errors(diag, true);
        parser = fy_parser_create(&(struct fy_parse_cfg){
            .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_SLOPPY_FLOW_INDENTATION,
            .diag = diag });
    }
    if (!parser || !b->iter ||
        fy_parser_set_string(parser, text.len ? text.ptr : "", text.len) != 0) {
        st = no_memory(err);
    } else {
        b->arena = a;
        b->parser = parser;
        b->source = text;
        b->doc = ret;
        b->err = err;
        b->budget = YAML_NODES_MAX;
        st = take_all(b, diag);
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    if (b) {
        fy_token_iter_destroy(b->iter);
        buf_done(&b->text);
    }
    free(b);
    return st;
}

/* ---- reading ---- */

yaml_node *yaml_get(const yaml_node *n, str key)
{
    for (uint32_t i = 0; n && n->kind == YAML_MAPPING && i < n->count; i++)
        if (str_eq(n->pairs[i].key->text, key))
            return n->pairs[i].value;
    return NULL;
}

bool yaml_is_null(const yaml_node *n)
{
    if (!n)
        return true;
    if (n->kind != YAML_SCALAR || !n->plain)
        return false;
    static const char *const names[] = { "", "~", "null", "Null", "NULL" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(n->text, names[i]))
            return true;
    return false;
}

const char *yaml_kind_name(const yaml_node *n)
{
    if (yaml_is_null(n))
        return "nothing";
    return n->kind == YAML_SEQUENCE ? "a list" : n->kind == YAML_MAPPING ? "a map" : "text";
}

bool yaml_to_bool(const yaml_node *n, bool *ret)
{
    static const char *const names[] = { "false", "False", "FALSE", "true", "True", "TRUE" };
    for (size_t i = 0; n->kind == YAML_SCALAR && i < ARRAY_LEN(names); i++) {
        if (str_is(n->text, names[i])) {
            *ret = i >= 3;
            return true;
        }
    }
    return false;
}

bool yaml_to_i64(const yaml_node *n, int64_t *ret)
{
    str t = n->kind == YAML_SCALAR ? n->text : STR_EMPTY;
    bool hex = str_starts(t, STR("0x")), octal = str_starts(t, STR("0o"));
    if (!hex && !octal)
        return str_to_i64(str_starts(t, STR("+")) ? str_slice(t, 1, t.len) : t, ret);
    uint64_t all = 0;
    if (t.len < 3 || t.len > 17)
        return false;
    for (size_t i = 2; i < t.len; i++) {
        char c = t.ptr[i];
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : 99;
        if (digit >= (hex ? 16 : 8))
            return false;
        all = all * (hex ? 16 : 8) + (uint64_t)digit;
    }
    *ret = (int64_t)all;
    return *ret >= 0;
}

bool yaml_to_f64(const yaml_node *n, double *ret)
{
    static const struct {
        const char *name;
        double value;
    } special[] = { { ".inf", __builtin_inf() },
                    { "+.inf", __builtin_inf() },
                    { "-.inf", -__builtin_inf() },
                    { ".nan", __builtin_nan("") } };
    int64_t i64;
    if (n->kind != YAML_SCALAR)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        if (str_eq_nocase(n->text, str_c(special[i].name))) {
            *ret = special[i].value;
            return true;
        }
    }
    if (yaml_to_i64(n, &i64)) {
        *ret = (double)i64;
        return true;
    }
    /* Not "inf", "nan" and "0x1p3", which are texts in YAML. */
    for (size_t i = 0; i < n->text.len; i++)
        if (!strchr("0123456789+-.eE", n->text.ptr[i]))
            return false;
    return str_to_f64(n->text, ret);
}

static void scalar_to_value(const yaml_node *n, value *ret)
{
    bool truth;
    int64_t i64;
    double f64;
    if (yaml_is_null(n))
        *ret = (value){ 0 };
    else if (n->plain && yaml_to_bool(n, &truth))
        *ret = VALUE_B(truth);
    else if (n->plain && yaml_to_i64(n, &i64))
        *ret = VALUE_I(i64);
    else if (n->plain && yaml_to_f64(n, &f64))
        *ret = VALUE_D(f64);
    else
        *ret = VALUE_S(n->text);
}

status yaml_to_value(arena *a, const yaml_node *n, value *ret, uint32_t *nodes, error *err)
{
    status st = STATUS_OK;
    if (n->tree)
        n = n->tree;
    if (*nodes == 0)
        return fail(err, STATUS_LIMIT, "too large when its aliases are written out");
    --*nodes;
    if (n->kind == YAML_SCALAR) {
        scalar_to_value(n, ret);
        return STATUS_OK;
    }
    bool map = n->kind == YAML_MAPPING;
    *ret = (value){ .type = map ? VALUE_MAP : VALUE_ARRAY };
    void *items = arena_calloc(a, MAX(n->count, 1u), map ? sizeof(attr) : sizeof(value));
    if (!items)
        return fail(err, STATUS_LIMIT, "larger than the memory of a configuration");
    if (map)
        ret->map = (attrs){ .items = items, .count = n->count };
    else
        ret->array = (values){ .items = items, .count = n->count };
    for (uint32_t i = 0; i < n->count && st == STATUS_OK; i++) {
        if (map)
            ret->map.items[i].key = n->pairs[i].key->text;
        st = yaml_to_value(a, map ? n->pairs[i].value : n->items[i],
                           map ? &ret->map.items[i].value : &ret->array.items[i], nodes, err);
    }
    return st;
}
