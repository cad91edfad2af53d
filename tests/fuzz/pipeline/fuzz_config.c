// SPDX-License-Identifier: Apache-2.0
/* Configuration files: whatever the bytes are, each is either good (and can be drawn) or told to be
 * wrong; nothing on the disk is read but what ${file:…} names, which is taken out here. */
#include "fuzz/fuzz.h"

#include "pipeline/config.h"

typedef struct {
    unsigned errors;
} heard;

static void keep(void *user, bool warning, const char *text)
{
    heard *h = user;
    FUZZ_CHECK(text[0] && !strpbrk(text, "\n\r\t"));
    h->errors += !warning;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    config c;
    error err;
    heard h = { 0 };
    buf out;
    str text = str_n(data, size);
    if (size > KiB(64) || str_contains(text, STR("file:")))
        return 0;
    text_pair names[] = { { STR_INIT("sonde:http"), STR_INIT("127.0.0.1:4319") },
                          { STR_INIT("sonde:recorders"), STR_INIT("[a, b]") } };
    status st =
        config_parse(&c, "f", text, &(pair_list){ names, ARRAY_LEN(names) }, keep, &h, &err);
    FUZZ_CHECK((st == STATUS_OK) == (h.errors == 0));
    FUZZ_CHECK(st == STATUS_OK || st == STATUS_INVALID || st == STATUS_NO_MEMORY);
    if (st != STATUS_OK)
        return 0;
    buf_init(&out, MiB(64));
    config_draw(&c, &out);
    FUZZ_CHECK(out.failed || out.len > 0);
    buf_done(&out);
    config_done(&c);
    return 0;
}
