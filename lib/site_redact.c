// SPDX-License-Identifier: Apache-2.0
/* Which keys and values are secrets in this process. Rules are swapped as a whole and never freed,
 * since a writer may be reading the ones before: a program has one set, or two after a restart with
 * other settings. */
#include "lib/env.h"
#include "lib/redact.h"
#include "lib/site.h"
#include "sonde/redact.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct kept_rules {
    redact_rules rules;
    struct kept_rules *next; /* the set before */
} kept_rules;

static _Atomic(kept_rules *) newest;
static _Atomic(const redact_rules *) current; /* NULL: the rules that are built in */

void redact_configure(str values, str keys)
{
    error err;
    if (values.len == 0 && keys.len == 0) {
        atomic_store(&current, NULL);
        return;
    }
    kept_rules *k = malloc(sizeof(*k));
    if (!k) {
        lib_warn("no memory for redact_keys and redact_values: only what is built in is redacted");
        return;
    }
    if (redact_rules_init(&k->rules, values, keys, &err) != STATUS_OK)
        lib_warn("redaction: %s", err.message);
    k->next = atomic_load(&newest);
    atomic_store(&newest, k);
    atomic_store(&current, &k->rules);
}

const redact_rules *redact_current(void)
{
    const redact_rules *rules = atomic_load_explicit(&current, memory_order_acquire);
    return rules ? rules : redact_rules_all();
}

bool site_key_is_secret(str key)
{
    const redact_rules *rules = atomic_load_explicit(&current, memory_order_acquire);
    return redact_key(rules ? &rules->keys : NULL, key);
}

bool sonde_redact_key(const char *key)
{
    return key && site_key_is_secret(str_c(key));
}

size_t sonde_redact_text(const char *text, size_t len, char *buffer, size_t size)
{
    const redact_rules *rules = redact_current();
    str in = str_n(text ? text : "", text ? len : 0);
    size_t n = 0, done = 0, begin, end;
    size_t room = buffer && size ? size - 1 : 0;
    while (done < in.len) {
        bool found = redact_find(rules, in, done, &begin, &end);
        str parts[] = { str_slice(in, done, found ? begin : in.len),
                        found ? STR(REDACTED) : STR_EMPTY };
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
            if (n < room)
                memcpy(buffer + n, parts[i].ptr, MIN(parts[i].len, room - n));
            n += parts[i].len;
        }
        done = found ? end : in.len;
    }
    if (buffer && size)
        buffer[MIN(n, room)] = 0;
    return n;
}
