// SPDX-License-Identifier: Apache-2.0
/* JSON: what the parser accepts, the writer writes so that the parser reads the same again. Typed
 * values likewise. */
#include "fuzz/fuzz.h"

#include "codec/json_value.h"

#include <math.h>

/* Copies token by token; false when the text is no JSON. */
static bool copy_tokens(str text, buf *out)
{
    arena memory;
    json_reader r;
    json_writer w = json_write(out);
    error err;
    double f64;
    arena_init(&memory, MiB(4));
    json_read(&r, text, &memory, 64);
    for (json_type t = json_next(&r); t != JSON_END && t != JSON_ERROR; t = json_next(&r)) {
        switch (t) {
        case JSON_NULL:
            json_null(&w);
            break;
        case JSON_BOOL:
            json_bool(&w, r.boolean);
            break;
        case JSON_NUMBER:
            FUZZ_CHECK(!json_get_f64(&r, &f64) || isfinite(f64));
            json_raw(&w, r.text);
            break;
        case JSON_STRING:
            json_str(&w, r.text);
            break;
        case JSON_KEY:
            json_key(&w, r.text);
            break;
        case JSON_OBJECT:
            json_begin_object(&w);
            break;
        case JSON_OBJECT_END:
            json_end_object(&w);
            break;
        case JSON_ARRAY:
            json_begin_array(&w);
            break;
        default:
            json_end_array(&w);
            break;
        }
    }
    status st = json_fail_status(&r, &err, "input");
    FUZZ_CHECK((st == STATUS_OK) == (r.type == JSON_END));
    FUZZ_CHECK(st == STATUS_OK || err.message[0]);
    arena_done(&memory);
    return st == STATUS_OK;
}

static void copy_value(str text)
{
    arena memory;
    json_reader r;
    value v, again;
    buf first, second;
    arena_init(&memory, MiB(4));
    buf_init(&first, 0);
    buf_init(&second, 0);
    json_read(&r, text, &memory, 64);
    if (value_from_json(&r, &memory, &v)) {
        json_writer w = json_write(&first);
        value_to_json(&v, &w);
        json_reader back;
        json_read(&back, buf_view(&first), &memory, 64);
        if (value_from_json(&back, &memory, &again)) {
            json_writer w2 = json_write(&second);
            value_to_json(&again, &w2);
            FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
            buf_clear(&second);
            value_to_text(&again, &second);
        } else {
            FUZZ_CHECK(back.code != STATUS_INVALID);
        }
    }
    buf_done(&first);
    buf_done(&second);
    arena_done(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = str_n(data, size);
    buf first, second;
    buf_init(&first, 0);
    buf_init(&second, 0);
    if (copy_tokens(text, &first)) {
        FUZZ_CHECK(copy_tokens(buf_view(&first), &second));
        FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
        copy_value(text);
    }
    buf_clear(&first);
    json_quote(&first, text);
    buf_clear(&second);
    FUZZ_CHECK(copy_tokens(buf_view(&first), &second));
    buf_done(&first);
    buf_done(&second);
    return 0;
}
