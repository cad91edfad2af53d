// SPDX-License-Identifier: Apache-2.0
/* The redaction scanner on any bytes, with any rules: it ends, stays inside of the text, and what
 * it leaves has no secret of the kinds that it looked for. Input: the list of value rules, a
 * newline, the list of keys, a newline, the text. */
#include "fuzz/fuzz.h"

#include "codec/redact.h"

/* Every find lies in the text, is not empty, and comes after the one before. */
static void check_finds(const redact_rules *rules, str text)
{
    size_t begin, end, from = 0;
    while (redact_find(rules, text, from, &begin, &end)) {
        FUZZ_CHECK(begin >= from && end > begin && end <= text.len);
        from = end;
    }
}

static void check_text(const redact_rules *rules, str text)
{
    arena memory;
    buf out;
    str once;
    arena_init(&memory, MiB(4));
    buf_init(&out, 0);
    bool found = redact_text(rules, &memory, text, &once);
    FUZZ_CHECK(once.ptr || text.len == 0);
    redact_to_buf(rules, text, &out);
    FUZZ_CHECK(str_eq(buf_view(&out), once));
    FUZZ_CHECK(found == !str_eq(once, text) || str_contains(text, STR(REDACTED)));
    buf_done(&out);
    arena_done(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redact_rules rules;
    redact_keys keys;
    error err;
    str rest = str_n(data, size);
    str values = str_cut(rest, '\n', &rest), patterns = str_cut(rest, '\n', &rest);
    if (redact_rules_init(&rules, values, patterns, &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
    check_finds(&rules, rest);
    check_text(&rules, rest);
    check_finds(redact_rules_all(), rest);
    check_text(redact_rules_all(), rest);
    if (redact_keys_init(&keys, patterns, &err) == STATUS_OK)
        (void)redact_key(&keys, rest);
    FUZZ_CHECK(!redact_key(NULL, rest) || rest.len > 0);
    return 0;
}
