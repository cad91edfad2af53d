// SPDX-License-Identifier: Apache-2.0
/* Headers of all propagators, as lines "name: value", and the same bytes as a JSON payload: what is
 * taken from them is handed on so that it is taken again, and never breaks out of its line. */
#include "fuzz/fuzz.h"

#include "lib/propagate_internal.h"

#include <stdlib.h>

enum { PAIRS_MAX = 24 };

/* Terminated copies of the lines' halves, in `text`. */
static void split(char *text, const char *pairs[2 * PAIRS_MAX + 1])
{
    size_t n = 0;
    for (char *line = text; line && n < 2 * PAIRS_MAX;) {
        char *end = strchr(line, '\n'), *colon;
        if (end)
            *end = '\0';
        colon = strchr(line, ':');
        if (colon) {
            *colon = '\0';
            pairs[n++] = line;
            pairs[n++] = colon + 1;
        }
        line = end ? end + 1 : NULL;
    }
    pairs[n] = NULL;
}

static void inject(const sonde_context *c, sonde_carrier *out)
{
    SONDE_WITH (*c) {
        sonde_inject_pairs(out);
    }
    for (size_t i = 0; out->pairs[i]; i++)
        for (const char *p = out->pairs[i]; *p; p++)
            FUZZ_CHECK((*p >= 0x20 && *p < 0x7f) || *p == '\t');
}

static void check(sonde_context *c)
{
    sonde_carrier first, second;
    FUZZ_CHECK((size_t)c->used + c->hidden <= SONDE_CONTEXT_BYTES);
    c->flags &= ~CONTEXT_DEBUG; /* traceparent, which is read first, cannot tell it */
    inject(c, &first);
    sonde_context again = sonde_extract_pairs(first.pairs);
    inject(&again, &second);
    for (size_t i = 0; first.pairs[i] || second.pairs[i]; i++)
        FUZZ_CHECK(first.pairs[i] && second.pairs[i] &&
                   strcmp(first.pairs[i], second.pairs[i]) == 0);
}

static void check_json(const char *bytes, size_t size, const sonde_json_options *o)
{
    char members[4096], object[4200];
    sonde_context c = sonde_extract_json_as(bytes, size, o);
    SONDE_WITH (c) {
        sonde_inject_json_as(members, sizeof(members), o);
    }
    int n = snprintf(object, sizeof(object), "{%s}", members);
    sonde_context again = sonde_extract_json_as(object, (size_t)n, o);
    FUZZ_CHECK(memcmp(c.trace_id, again.trace_id, 24) == 0 && c.flags == again.flags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *pairs[2 * PAIRS_MAX + 1];
    if (size == 0)
        return 0;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    propagate_configure(data[0]); /* bits of propagators */
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    check_json(text, size - 1, NULL);
    check_json(text, size - 1,
               &(sonde_json_options){ .request_id_member = "trace_id", .request_id_only = true });
    split(text, pairs);
    sonde_context c = sonde_extract_pairs(pairs);
    check(&c);
    free(text);
    return 0;
}
