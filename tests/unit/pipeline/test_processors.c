// SPDX-License-Identifier: Apache-2.0
/* Processors and the connector count: every case of tests/pipeline/processors.test, several threads
 * at once, and the hashes by which collectors agree. */
#include "unit/pipeline/processor_rows.h"
#include "unit/pipeline/sampler_hashes.h"

#include "base/file.h"
#include "pipeline/processors/sampler_hash.h"
#include "pipeline/trace_state.h"

#include <pthread.h>

/* ---- the script ---- */

typedef struct {
    str name, type, yaml, in, out, refused, dropped;
    component_kind kind;
    signal_kind signal;
    unsigned line;
} script_case;

static bool cut_word(str line, const char *word, str *ret)
{
    if (!str_starts(line, str_c(word)))
        return false;
    *ret = str_trim(str_slice(line, strlen(word), line.len));
    return true;
}

static str extend(str block, str line)
{
    return block.ptr ? str_n(block.ptr, (size_t)(line.ptr + line.len - block.ptr)) : line;
}

/* Reads one case; false at the end. */
static bool next_case(str *rest, unsigned *number, script_case *ret)
{
    str word;
    str *block = NULL;
    *ret = (script_case){ 0 };
    while (rest->len) {
        if (ret->type.len && str_starts(*rest, STR("case ")))
            return true;
        str line = str_cut(*rest, '\n', rest);
        ++*number;
        if (!str_trim(line).len || line.ptr[0] == '#')
            continue;
        if (cut_word(line, "case ", &word)) {
            ret->name = word;
            ret->line = *number;
        } else if (cut_word(line, "processor ", &word) || cut_word(line, "connector ", &word)) {
            ret->kind = line.ptr[0] == 'p' ? COMPONENT_PROCESSOR : COMPONENT_CONNECTOR;
            ret->type = word;
            block = &ret->yaml;
        } else if (cut_word(line, "in ", &word)) {
            for (unsigned s = 0; s < SIGNAL_COUNT; s++)
                if (str_is(word, signal_name((signal_kind)s)))
                    ret->signal = (signal_kind)s;
            block = &ret->in;
        } else if (str_is(line, "out")) {
            block = &ret->out;
        } else if (cut_word(line, "refused ", &word)) {
            ret->refused = word;
        } else if (cut_word(line, "dropped ", &word)) {
            ret->dropped = word;
        } else if (block && line.ptr[0] == ' ') {
            *block = extend(*block, line);
        } else {
            fail_msg("processors.test:%u: cannot be read: %.*s", *number, STR_ARG(line));
        }
    }
    return ret->type.len > 0;
}

static void read_rows(batch *b, str block)
{
    while (block.len) {
        str line = str_trim(str_cut(block, '\n', &block));
        if (!line.len)
            continue;
        value row = rows_json(&b->arena, line);
        rows_add(b, &row);
    }
}

static unsigned wrong(const script_case *c, str wanted, str got)
{
    fprintf(stderr, "processors.test:%u: %.*s\n  wanted %.*s\n  got    %.*s\n", c->line,
            STR_ARG(c->name), STR_ARG(wanted), STR_ARG(got));
    return 1;
}

static unsigned compare(const script_case *c, const batch *got)
{
    batch wanted;
    batch_init(&wanted, got->signal, 0);
    read_rows(&wanted, c->out);
    uint32_t a = batch_row_count(&wanted), b = batch_row_count(got);
    unsigned failures = 0;
    for (uint32_t i = 0; i < MAX(a, b); i++) {
        str want = i < a ? row_text(&wanted.arena, &wanted, i) : STR("nothing");
        str have = i < b ? row_text(&wanted.arena, got, i) : STR("nothing");
        if (!str_eq(want, have))
            failures += wrong(c, want, have);
    }
    batch_done(&wanted);
    return failures;
}

static void print_drop(void *user, const count_line *line)
{
    buf *out = user;
    buf_fmt(out, "%s%llu %s", out->len ? ", " : "", (unsigned long long)line->value, line->detail);
}

static unsigned run_case(const script_case *c)
{
    rig r;
    error err;
    char type[64];
    str_copy_c(type, sizeof(type), c->type);
    bool opened = rig_open(&r, c->kind, type, c->signal, c->yaml);
    if (!opened || c->refused.len) {
        unsigned failures = 0;
        if (opened || !str_contains(str_c(r.said), c->refused) || !c->refused.len)
            failures = wrong(c, c->refused.len ? c->refused : STR("to be taken"),
                             opened ? STR("it was taken") : str_c(r.said));
        if (opened)
            rig_close(&r);
        return failures;
    }
    batch in, out;
    buf dropped;
    buf_init(&dropped, 0);
    batch_init(&in, c->signal, 0);
    batch_init(&out, SIGNAL_METRICS, 0);
    read_rows(&in, c->in);
    component *p = &r.component;
    status st = p->type->produce ? p->type->produce(p->self, &in, &out, &err)
                                 : p->type->process(p->self, &in, &err);
    unsigned failures = st == STATUS_OK ? compare(c, p->type->produce ? &out : &in)
                                        : wrong(c, STR("success"), str_c(err.message));
    counts_each(p->counts, COUNT_DROPPED, print_drop, &dropped);
    if (!str_eq(buf_view(&dropped), c->dropped))
        failures += wrong(c, c->dropped, buf_view(&dropped));
    buf_done(&dropped);
    batch_done(&in);
    batch_done(&out);
    rig_close(&r);
    return failures;
}

static void processors_do_what_the_script_says(void **state)
{
    (void)state;
    error err;
    buf text;
    script_case c;
    unsigned number = 0, failures = 0, cases = 0;
    buf_init(&text, MiB(1));
    assert_ok(file_read(SOURCE_DIR "/tests/pipeline/processors.test", &text, &err));
    str rest = buf_view(&text);
    while (next_case(&rest, &number, &c)) {
        failures += run_case(&c);
        cases++;
    }
    buf_done(&text);
    assert_true(cases > 40);
    assert_int_equal(failures, 0);
}

/* ---- hashes ---- */

/* FNV-1a by its definition, on the seed's bytes and the id's: values of an independent program. */
static void the_hash_is_the_collectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sampler_hashes); i++) {
        uint8_t id[16];
        assert_true(str_from_hex(str_c(sampler_hashes[i].id), id, 16));
        str bytes = str_n(id, 16);
        assert_int_equal(sampler_fnv32(bytes, sampler_hashes[i].seed), sampler_hashes[i].hash);
        /* "hash mod 2^14 < rate" and "threshold <= randomness" are one decision. */
        for (unsigned percent = 1; percent < 100; percent += 7) {
            uint32_t rate = (uint32_t)((float)percent * (float)(16384 / 100.0));
            assert_int_equal((sampler_hashes[i].hash & 0x3fff) < rate,
                             sampler_hash_threshold(percent) <=
                                 sampler_hash(bytes, sampler_hashes[i].seed));
        }
    }
    assert_true(sampler_fnv64(STR(""), STR("a")) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(sampler_fnv64(STR("foo"), STR("bar")) == UINT64_C(0x85944171f73967e8));
}

static void thresholds_are_those_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        double probability;
        int precision;
        const char *text;
    } rows[] = {
        { 1, 4, "0" },         { 0.5, 4, "8" },       { 0.25, 4, "c" },
        { 0.75, 4, "4" },      { 0.1, 4, "e666" },    { 0.01, 4, "fd70a" },
        { 0.001, 3, "ffbe7" }, { 1. / 3, 4, "aaab" }, { 0x1p-56, 4, "ffffffffffffff" },
    };
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_str(
            sampling_threshold_text(&a, sampling_threshold(rows[i].probability, rows[i].precision)),
            str_c(rows[i].text));
    arena_done(&a);
}

/* ---- threads ---- */

typedef struct {
    component *c;
    unsigned wrong;
} worker;

static void *work(void *user)
{
    worker *w = user;
    error err;
    for (int i = 0; i < 300; i++) {
        batch b;
        batch_init(&b, SIGNAL_TRACES, 0);
        read_rows(&b, STR("{\"name\":\"a\",\"attributes\":{\"card\":\"4111111111111111\"}}\n"));
        if (w->c->type->process(w->c->self, &b, &err) != STATUS_OK ||
            !str_is(attrs_get_str(&b.spans.attributes[0], STR("card")), "****"))
            w->wrong++;
        batch_done(&b);
    }
    return NULL;
}

static void processors_serve_several_threads(void **state)
{
    (void)state;
    rig r;
    pthread_t threads[4];
    worker workers[4];
    assert_true(rig_open(&r, COMPONENT_PROCESSOR, "redaction", SIGNAL_TRACES,
                         STR("  allow_all_keys: true\n  blocked_values: ['4[0-9]{15}']")));
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (worker){ &r.component, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    rig_close(&r);
}

static void memory_limiter_refuses_at_its_limit(void **state)
{
    (void)state;
    rig r;
    error err;
    assert_true(rig_open(&r, COMPONENT_PROCESSOR, "memory_limiter", SIGNAL_TRACES,
                         STR("  limit_mib: 16000000")));
    assert_ok(r.component.type->admit(r.component.self, &err));
    rig_close(&r);
    assert_true(
        rig_open(&r, COMPONENT_PROCESSOR, "memory_limiter", SIGNAL_TRACES, STR("  limit_mib: 2")));
    assert_int_equal(r.component.type->admit(r.component.self, &err), STATUS_BUSY);
    assert_true(str_contains(str_c(err.message), STR("memory_limiter")));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processors_do_what_the_script_says),
        cmocka_unit_test(the_hash_is_the_collectors),
        cmocka_unit_test(thresholds_are_those_of_the_specification),
        cmocka_unit_test(processors_serve_several_threads),
        cmocka_unit_test(memory_limiter_refuses_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
