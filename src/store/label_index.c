// SPDX-License-Identifier: Apache-2.0
/* The label index; see label_index.h. */
#include "store/label_index.h"

#include <stdlib.h>

enum { LABELS_MAX = 1 << 20, VALUES_MAX = 1 << 26 };

typedef struct {
    str value;
    roaring_bitmap_t *members;
} posting;

typedef struct {
    str name;
    map values; /* to an index into postings */
    posting *postings;
    uint32_t count, capacity;
} indexed_label;

struct label_index {
    map names; /* to an index into labels */
    indexed_label *labels;
    uint32_t count, capacity;
};

static void bitmap_free(roaring_bitmap_t *b)
{
    if (b)
        roaring_bitmap_free(b);
}

label_index *label_index_new(void)
{
    label_index *x = calloc(1, sizeof(*x));
    if (x)
        map_init(&x->names);
    return x;
}

void label_index_free(label_index *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; i < x->count; i++) {
        for (uint32_t k = 0; k < x->labels[i].count; k++)
            bitmap_free(x->labels[i].postings[k].members);
        free(x->labels[i].postings);
        map_done(&x->labels[i].values);
    }
    free(x->labels);
    map_done(&x->names);
    free(x);
}

/* Room for one more element; false without memory. */
static bool grow(void **items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t more = *capacity ? *capacity * 2 : 8;
    void *grown = realloc(*items, more * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

bool label_index_add(label_index *x, str name, str value, uint32_t member)
{
    bool new_one;
    uint64_t *at = map_put(&x->names, name, x->count, &new_one);
    if (!at)
        return false;
    if (new_one) {
        if (!grow((void **)&x->labels, x->count, &x->capacity, sizeof(indexed_label))) {
            map_remove(&x->names, name);
            return false;
        }
        x->labels[x->count] = (indexed_label){ .name = name };
        map_init(&x->labels[x->count++].values);
    }
    indexed_label *l = &x->labels[*at];
    at = map_put(&l->values, value, l->count, &new_one);
    if (!at)
        return false;
    if (new_one) {
        roaring_bitmap_t *members = roaring_bitmap_create();
        if (!members || !grow((void **)&l->postings, l->count, &l->capacity, sizeof(posting))) {
            bitmap_free(members);
            map_remove(&l->values, value);
            return false;
        }
        l->postings[l->count++] = (posting){ value, members };
    }
    roaring_bitmap_add(l->postings[*at].members, member);
    return true;
}

static int by_label(const void *a, const void *b)
{
    return str_cmp(((const indexed_label *)a)->name, ((const indexed_label *)b)->name);
}

static int by_value(const void *a, const void *b)
{
    return str_cmp(((const posting *)a)->value, ((const posting *)b)->value);
}

bool label_index_write(label_index *x, buf *out)
{
    if (x->count)
        qsort(x->labels, x->count, sizeof(indexed_label), by_label);
    put_varint(out, x->count);
    for (uint32_t i = 0; i < x->count; i++) {
        indexed_label *l = &x->labels[i];
        qsort(l->postings, l->count, sizeof(posting), by_value);
        put_text(out, l->name);
        put_varint(out, l->count);
        for (uint32_t k = 0; k < l->count; k++) {
            roaring_bitmap_t *m = l->postings[k].members;
            roaring_bitmap_run_optimize(m);
            size_t size = roaring_bitmap_portable_size_in_bytes(m);
            put_text(out, l->postings[k].value);
            put_varint(out, size);
            if (!buf_reserve(out, size))
                return false;
            out->len += roaring_bitmap_portable_serialize(m, out->ptr + out->len);
        }
    }
    return !out->failed;
}

/* ---- reading ---- */

/* Stands behind the name of the wanted label; *ret_count is 0 when it is not there. */
static bytes_reader find_label(str section, str name, uint32_t *ret_count)
{
    bytes_reader r = bytes_read(section);
    uint32_t labels = section.len ? get_count(&r, LABELS_MAX) : 0;
    *ret_count = 0;
    for (uint32_t i = 0; i < labels && !r.failed; i++) {
        bool wanted = str_eq(get_text(&r), name);
        uint32_t values = get_count(&r, VALUES_MAX);
        if (wanted) {
            *ret_count = values;
            return r;
        }
        for (uint32_t k = 0; k < values && !r.failed; k++) {
            get_text(&r);
            get_text(&r);
        }
    }
    return r;
}

static roaring_bitmap_t *read_bitmap(str bytes)
{
    return roaring_bitmap_portable_deserialize_safe(bytes.ptr, bytes.len);
}

static const indexed_value *read_values(bytes_reader *r, arena *a, uint32_t count)
{
    indexed_value *values = count <= bytes_left(r) ? ARENA_ARRAY(a, indexed_value, count) : NULL;
    if (count && !values)
        r->failed = true;
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        values[i].value = get_text(r);
        values[i].members = get_text(r);
    }
    return values;
}

status label_table_open(str section, arena *a, label_table *ret, error *err)
{
    bytes_reader r = bytes_read(section);
    uint32_t count = section.len ? get_count(&r, LABELS_MAX) : 0;
    indexed_name *names = count <= bytes_left(&r) ? ARENA_ARRAY(a, indexed_name, count) : NULL;
    if (count && !names)
        r.failed = true;
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        names[i].name = get_text(&r);
        names[i].count = get_count(&r, VALUES_MAX);
        names[i].values = read_values(&r, a, names[i].count);
    }
    if (r.failed)
        return fail(err, STATUS_CORRUPT, "a label index cannot be read");
    *ret = (label_table){ names, count };
    return STATUS_OK;
}

static int name_is(const void *key, const void *item)
{
    return str_cmp(*(const str *)key, ((const indexed_name *)item)->name);
}

static int value_is(const void *key, const void *item)
{
    return str_cmp(*(const str *)key, ((const indexed_value *)item)->value);
}

static bool add_members(roaring_bitmap_t *to, const indexed_value *v)
{
    roaring_bitmap_t *members = read_bitmap(v->members);
    if (members)
        roaring_bitmap_or_inplace(to, members);
    bitmap_free(members);
    return members != NULL;
}

roaring_bitmap_t *label_table_match(const label_table *t, match_set *set, const match_item *m,
                                    uint32_t total)
{
    static const indexed_name absent = { 0 };
    const indexed_name *n =
        t->count ? bsearch(&m->name, t->names, t->count, sizeof(*n), name_is) : NULL;
    n = n ? n : &absent;
    roaring_bitmap_t *found = roaring_bitmap_create();
    bool ok = found != NULL;
    if ((m->op == MATCH_EQ || m->op == MATCH_NE) && m->value.len > 0) {
        const indexed_value *v =
            n->count ? bsearch(&m->value, n->values, n->count, sizeof(*v), value_is) : NULL;
        if (ok && v)
            ok = add_members(found, v);
    } else {
        /* What takes the empty string takes all but those whose value it does not take. */
        for (uint32_t i = 0; i < n->count && ok; i++) {
            if (match_value(set, m, n->values[i].value) != m->takes_empty)
                ok = add_members(found, &n->values[i]);
        }
    }
    if (ok && m->takes_empty)
        roaring_bitmap_flip_inplace(found, 0, total);
    if (!ok) {
        bitmap_free(found);
        return NULL;
    }
    return found;
}

roaring_bitmap_t *label_index_match(str section, match_set *set, const match_item *m,
                                    uint32_t total)
{
    arena a;
    label_table t;
    arena_init(&a, GiB(1));
    roaring_bitmap_t *found = NULL;
    if (label_table_open(section, &a, &t, NULL) == STATUS_OK)
        found = label_table_match(&t, set, m, total);
    arena_done(&a);
    return found;
}

bool label_index_values(str section, str name, const roaring_bitmap_t *among,
                        label_index_visitor *visit, void *user)
{
    uint32_t count;
    bytes_reader r = find_label(section, name, &count);
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        str value = get_text(&r), bytes = get_text(&r);
        bool wanted = !r.failed;
        if (wanted && among) {
            roaring_bitmap_t *members = read_bitmap(bytes);
            wanted = members && roaring_bitmap_intersect(members, among);
            bitmap_free(members);
        }
        if (wanted && !visit(user, value))
            return false;
    }
    return !r.failed;
}
