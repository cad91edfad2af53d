// SPDX-License-Identifier: Apache-2.0
/* What servers answer to exporters; the first byte picks format and kind. A decoded answer that is
 * encoded and decoded again stays the same. */
#include "fuzz/fuzz.h"

#include "codec/otlp.h"

static void response(otlp_format format, signal_kind signal, str bytes)
{
    otlp_partial first, second;
    error err;
    buf out;
    if (otlp_decode_response(format, signal, bytes, &first, &err) != STATUS_OK)
        return;
    /* A message may have been cut, or be text that JSON must repair. */
    if (utf8_valid_prefix(str_c(first.message)) != strlen(first.message))
        return;
    buf_init(&out, 0);
    otlp_encode_response(format, signal, &first, &out);
    FUZZ_CHECK(otlp_decode_response(format, signal, buf_view(&out), &second, &err) == STATUS_OK);
    FUZZ_CHECK(first.rejected == second.rejected && strcmp(first.message, second.message) == 0);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char message[64];
    int code;
    error err;
    if (size == 0)
        return 0;
    otlp_format format = data[0] & 1 ? OTLP_JSON : OTLP_PROTOBUF;
    str bytes = str_n(data + 1, size - 1);
    if (data[0] & 2) {
        status st = otlp_decode_status(format, bytes, &code, message, sizeof(message), &err);
        FUZZ_CHECK(st != STATUS_OK || strlen(message) < sizeof(message));
    } else {
        response(format, (signal_kind)((data[0] >> 2) % SIGNAL_COUNT), bytes);
    }
    return 0;
}
