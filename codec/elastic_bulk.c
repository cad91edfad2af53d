// SPDX-License-Identifier: Apache-2.0
/* Bulk requests: pairs of lines, an action and its document; see elastic_bulk.h. A document's
 * members are walked once; what they are called decides where they go. */
#include "codec/elastic_bulk.h"

#include "base/map.h"
#include "codec/elastic_document.h"

#include <stdlib.h>

enum { ITEMS_MAX = 1 << 20, ACTION_DEPTH = 8 };

typedef struct {
    elastic_documents documents;
    batch *b;
    str index;
    uint32_t max_items;
    elastic_items *items;
} decoder;

static const char *const action_names[ELASTIC_ACTIONS] = { "index", "create", "update", "delete" };

static elastic_item *add_item(decoder *d, elastic_action action)
{
    elastic_items *l = d->items;
    if (l->count == l->capacity) {
        uint32_t capacity = MAX(l->capacity * 2, 64u);
        elastic_item *more =
            arena_grow(&d->b->arena, l->items, l->count * sizeof(*more), capacity * sizeof(*more));
        if (!more)
            return NULL;
        l->items = more;
        l->capacity = capacity;
    }
    elastic_item *i = &l->items[l->count++];
    *i = (elastic_item){ .action = action, .index = d->index, .row = BATCH_FULL, .status = 201 };
    return i;
}

static void refuse_item(elastic_item *i, str type, str reason)
{
    i->status = 400;
    i->row = BATCH_FULL;
    i->error_type = type;
    i->reason = reason;
}

/* ---- action lines ---- */

/* {"create":{"_index":"logs","_id":"7"}} */
static status read_action(decoder *d, str line, size_t number, elastic_item **ret, error *err)
{
    json_reader r;
    str key;
    size_t action = 0;
    json_read(&r, line, &d->b->arena, ACTION_DEPTH);
    if (json_next(&r) != JSON_OBJECT || !json_next_key(&r, &key))
        return fail(err, STATUS_INVALID,
                    "Malformed action/metadata line [%zu], expected an object with index, create, "
                    "update or delete",
                    number);
    while (action < ELASTIC_ACTIONS && !str_is(key, action_names[action]))
        action++;
    if (action == ELASTIC_ACTIONS)
        return fail(err, STATUS_INVALID,
                    "Malformed action/metadata line [%zu], expected field [create], [delete], "
                    "[index] or [update] but found [%.*s]",
                    number, (int)MIN(key.len, (size_t)100), key.ptr);
    elastic_item *item = add_item(d, (elastic_action)action);
    if (!item)
        return fail(err, STATUS_LIMIT, "the request needs more memory than it may take");
    if (json_next(&r) != JSON_OBJECT)
        return fail(err, STATUS_INVALID, "Malformed action/metadata line [%zu], expected an object",
                    number);
    while (json_next_key(&r, &key)) {
        str *to = str_is(key, "_index") ? &item->index : str_is(key, "_id") ? &item->id : NULL;
        if (!json_skip_next(&r))
            break;
        if (to && (r.type == JSON_STRING || r.type == JSON_NUMBER))
            *to = r.text;
    }
    if (r.type == JSON_ERROR || json_next(&r) != JSON_OBJECT_END || json_next(&r) != JSON_END)
        return fail(err, STATUS_INVALID, "Malformed action/metadata line [%zu], it is no JSON",
                    number);
    *ret = item;
    return STATUS_OK;
}

/* ---- documents ---- */

static status take_document(decoder *d, elastic_item *item, str line, error *err)
{
    error why;
    if (!item->index.len) {
        refuse_item(item, STR("action_request_validation_exception"),
                    STR("Validation Failed: 1: index is missing;"));
        return STATUS_OK;
    }
    status st = elastic_document_add(&d->documents, line, item->index, &item->row, &why);
    if (st == STATUS_OK)
        return STATUS_OK;
    if (st != STATUS_INVALID)
        return fail(err, st, "%s", why.message);
    str reason = arena_str(&d->b->arena, str_c(why.message));
    refuse_item(item, STR("document_parsing_exception"),
                reason.ptr ? reason : STR("failed to parse"));
    return STATUS_OK;
}

/* The next line that is not blank; false at the end. */
static bool next_line(str *rest, size_t *number, str *ret)
{
    while (rest->len) {
        *ret = str_trim(str_cut(*rest, '\n', rest));
        ++*number;
        if (ret->len)
            return true;
    }
    return false;
}

static status read_lines(decoder *d, str bytes, error *err)
{
    str line;
    size_t number = 0;
    elastic_item *item = NULL;
    while (next_line(&bytes, &number, &line)) {
        if (d->items->count >= d->max_items)
            return fail(err, STATUS_LIMIT, "more than %u actions in one request", d->max_items);
        status st = read_action(d, line, number, &item, err);
        if (st != STATUS_OK)
            return st;
        if (item->action == ELASTIC_DELETE) {
            refuse_item(item, STR("illegal_argument_exception"),
                        STR("log records cannot be deleted one by one"));
            continue;
        }
        if (!next_line(&bytes, &number, &line))
            return fail(err, STATUS_INVALID,
                        "The bulk request must be terminated by a newline [\\n]: line %zu has an "
                        "action without a document",
                        number);
        if (item->action == ELASTIC_UPDATE) {
            refuse_item(item, STR("illegal_argument_exception"),
                        STR("log records cannot be updated: only index and create are taken"));
            continue;
        }
        st = take_document(d, item, line, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

status elastic_bulk_decode(batch *b, str bytes, str index, const elastic_limits *limits,
                           elastic_items *ret, error *err)
{
    decoder d = { .b = b, .index = index, .items = ret };
    d.max_items = limits && limits->max_items ? limits->max_items : ITEMS_MAX;
    elastic_documents_init(&d.documents, b, limits ? limits->max_attributes : 0);
    status st = read_lines(&d, bytes, err);
    elastic_documents_done(&d.documents);
    if (st == STATUS_OK && ret->count == 0)
        return fail(err, STATUS_INVALID,
                    "request body is required: pairs of lines, an action and a document");
    return st;
}

status elastic_document_decode(batch *b, str bytes, str index, elastic_items *ret, error *err)
{
    decoder d = { .b = b, .index = index, .items = ret };
    elastic_documents_init(&d.documents, b, 0);
    elastic_item *item = add_item(&d, ELASTIC_INDEX);
    status st = item ? take_document(&d, item, bytes, err)
                     : fail(err, STATUS_LIMIT, "the request needs more memory than it may take");
    elastic_documents_done(&d.documents);
    return st;
}

/* ---- rows that were refused later ---- */

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t time_of(const batch *b, uint32_t row)
{
    return b->logs.time_ns[row] ? b->logs.time_ns[row] : b->logs.observed_ns[row];
}

void elastic_items_reject_oldest(elastic_items *items, const batch *b, uint32_t rejected,
                                 str reason)
{
    uint32_t count = b->logs.count;
    int64_t last = INT64_MAX, *times = NULL;
    if (!rejected)
        return;
    if (rejected < count)
        times = calloc(count, sizeof(*times));
    if (times) {
        for (uint32_t i = 0; i < count; i++)
            times[i] = time_of(b, i);
        qsort(times, count, sizeof(*times), by_time);
        last = times[rejected - 1];
        free(times);
    }
    for (uint32_t i = 0; i < items->count; i++) {
        elastic_item *item = &items->items[i];
        if (item->row != BATCH_FULL && rejected && time_of(b, item->row) <= last) {
            refuse_item(item, STR("illegal_argument_exception"), reason);
            rejected--;
        }
    }
}

/* ---- answers ---- */

static void put_id(json_writer *w, const elastic_item *i, uint64_t seed)
{
    json_key(w, STR("_id"));
    if (i->id.len) {
        json_str(w, i->id);
    } else {
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        char id[20];
        uint64_t bits = 0;
        for (size_t n = 0; n < sizeof(id); n++) {
            if (n % 10 == 0)
                bits = seed = hash_mix(seed, UINT64_C(0x9e3779b97f4a7c15) + n);
            id[n] = digits[bits & 63];
            bits >>= 6;
        }
        json_str(w, str_n(id, sizeof(id)));
    }
}

static void put_result(json_writer *w, const elastic_item *i, uint64_t seed)
{
    json_begin_object(w);
    JSON_PUT(w, str, "_index", i->index);
    put_id(w, i, seed);
    if (i->status < 300) {
        JSON_PUT(w, u64, "_version", 1);
        JSON_PUT(w, str, "result", STR("created"));
        json_key(w, STR("_shards"));
        json_raw(w, STR("{\"total\":1,\"successful\":1,\"failed\":0}"));
        JSON_PUT(w, u64, "_seq_no", 0);
        JSON_PUT(w, u64, "_primary_term", 1);
        JSON_PUT(w, i64, "status", i->status);
    } else {
        JSON_PUT(w, i64, "status", i->status);
        json_key(w, STR("error"));
        json_begin_object(w);
        JSON_PUT(w, str, "type", i->error_type);
        JSON_PUT(w, str, "reason", i->reason);
        json_end_object(w);
    }
    json_end_object(w);
}

void elastic_bulk_answer(const elastic_items *items, int64_t took_ms, uint64_t seed, buf *out)
{
    json_writer w = json_write(out);
    bool errors = false;
    for (uint32_t i = 0; i < items->count; i++)
        errors |= items->items[i].status >= 300;
    json_begin_object(&w);
    JSON_PUT(&w, i64, "took", took_ms);
    JSON_PUT(&w, bool, "errors", errors);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (uint32_t i = 0; i < items->count; i++) {
        json_begin_object(&w);
        json_key(&w, str_c(action_names[items->items[i].action]));
        put_result(&w, &items->items[i], hash_mix(seed, i + 1));
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
}

void elastic_document_answer(const elastic_item *item, uint64_t seed, buf *out)
{
    json_writer w = json_write(out);
    if (item->status >= 300)
        elastic_error(out, item->status, item->error_type, item->reason);
    else
        put_result(&w, item, seed);
}

void elastic_error(buf *out, int code, str type, str reason)
{
    json_writer w = json_write(out);
    json_begin_object(&w);
    json_key(&w, STR("error"));
    json_begin_object(&w);
    json_key(&w, STR("root_cause"));
    json_begin_array(&w);
    json_begin_object(&w);
    JSON_PUT(&w, str, "type", type);
    JSON_PUT(&w, str, "reason", reason);
    json_end_object(&w);
    json_end_array(&w);
    JSON_PUT(&w, str, "type", type);
    JSON_PUT(&w, str, "reason", reason);
    json_end_object(&w);
    JSON_PUT(&w, i64, "status", code);
    json_end_object(&w);
}
