// SPDX-License-Identifier: Apache-2.0
/* Rule files: whatever the bytes are, each is good or told to be wrong with a place; what is good
 * is printed, read again, and the same. */
#include "fuzz/fuzz.h"

#include "rules/file.h"

typedef struct {
    unsigned errors;
} heard;

static void keep(void *user, bool warning, const char *text)
{
    heard *h = user;
    FUZZ_CHECK(text[0] && !strpbrk(text, "\n\r\t"));
    h->errors += !warning;
}

/* A text that is no UTF-8 is printed as it is, and may be refused then. */
static void check_again(const rule_file *f)
{
    rule_file again;
    error err;
    buf once, twice;
    buf_init(&once, MiB(64));
    buf_init(&twice, MiB(64));
    rule_file_print(&once, f, false);
    status st = rule_file_parse(&again, "g", buf_view(&once), UINT32_MAX, NULL, NULL, &err);
    if (!once.failed && once.len < MiB(4) && utf8_valid_prefix(buf_view(&once)) == once.len) {
        if (st != STATUS_OK)
            fprintf(stderr, "%s\n%.*s", err.message, STR_ARG(buf_view(&once)));
        FUZZ_CHECK(st == STATUS_OK);
    }
    if (st == STATUS_OK) {
        rule_file_print(&twice, &again, false);
        FUZZ_CHECK(twice.failed || str_eq(buf_view(&once), buf_view(&twice)));
        rule_file_done(&again);
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rule_file f;
    error err;
    heard h = { 0 };
    if (size > KiB(64))
        return 0;
    status st = rule_file_parse(&f, "f", str_n(data, size), UINT32_MAX, keep, &h, &err);
    FUZZ_CHECK((st == STATUS_OK) == (h.errors == 0));
    FUZZ_CHECK(st == STATUS_OK || st == STATUS_INVALID || st == STATUS_NO_MEMORY);
    if (st != STATUS_OK)
        return 0;
    check_again(&f);
    rule_file_done(&f);
    return 0;
}
