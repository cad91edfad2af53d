// SPDX-License-Identifier: Apache-2.0
/* What must hold of a request that could be decoded: encoding it and decoding that gives the same
 * request, in both formats. */
#ifndef SONDE_TESTS_FUZZ_OTLP_ROUND_TRIP_H
#define SONDE_TESTS_FUZZ_OTLP_ROUND_TRIP_H

#include "fuzz/fuzz.h"

#include "codec/otlp.h"

enum { FUZZ_MEMORY = 16 << 20 };

static inline void otlp_round_trip(const batch *b, otlp_format format)
{
    status (*encode)(const batch *, buf *, error *) =
        format == OTLP_JSON ? otlp_encode_json : otlp_encode;
    batch again;
    buf first, second;
    error err;
    otlp_partial partial;
    batch_init(&again, b->signal, 4 * FUZZ_MEMORY);
    buf_init(&first, 0);
    buf_init(&second, 0);
    FUZZ_CHECK(encode(b, &first, &err) == STATUS_OK);
    status st = format == OTLP_JSON
                    ? otlp_decode_json(&again, buf_view(&first), NULL, &partial, &err)
                    : otlp_decode(&again, buf_view(&first), NULL, &partial, &err);
    FUZZ_CHECK(st == STATUS_OK && partial.rejected == 0 && partial.repaired == 0);
    FUZZ_CHECK(batch_row_count(&again) == batch_row_count(b));
    FUZZ_CHECK(encode(&again, &second, &err) == STATUS_OK);
    FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
    buf_done(&first);
    buf_done(&second);
    batch_done(&again);
}

/* With too little memory the same request is decoded, or refused for that reason. */
static inline void otlp_starved(signal_kind signal, str bytes, otlp_format format, status expected)
{
    batch b;
    error err;
    batch_init(&b, signal, KiB(4) << (bytes.len % 8));
    status st = format == OTLP_JSON ? otlp_decode_json(&b, bytes, NULL, NULL, &err)
                                    : otlp_decode(&b, bytes, NULL, NULL, &err);
    FUZZ_CHECK(st == expected || st == STATUS_LIMIT);
    batch_done(&b);
}

static inline void otlp_fuzz(signal_kind signal, str bytes, otlp_format format)
{
    batch b;
    error err;
    otlp_partial partial;
    batch_init(&b, signal, FUZZ_MEMORY);
    status st = format == OTLP_JSON ? otlp_decode_json(&b, bytes, NULL, &partial, &err)
                                    : otlp_decode(&b, bytes, NULL, &partial, &err);
    if (st == STATUS_OK) {
        FUZZ_CHECK((partial.rejected || partial.repaired) == (partial.message[0] != 0));
        otlp_round_trip(&b, OTLP_PROTOBUF);
        otlp_round_trip(&b, OTLP_JSON);
    } else {
        FUZZ_CHECK(err.code == st && err.message[0]);
    }
    batch_done(&b);
    otlp_starved(signal, bytes, format, st);
}

#endif
