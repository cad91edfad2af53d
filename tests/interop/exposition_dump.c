// SPDX-License-Identifier: Apache-2.0
/* Reads pages of metrics as the server does: each on standard input as "t" or "o", its length, a
 * line end and its bytes; prints the samples. See go_exposition/main.go. */
#include "codec/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void hex(str s)
{
    for (size_t i = 0; i < s.len; i++)
        printf("%02x", (uint8_t)s.ptr[i]);
}

static unsigned long long bits_of(double v)
{
    unsigned long long bits = 1;
    if (!isnan(v))
        memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static void put_label(str name, str value)
{
    hex(name);
    putchar('=');
    hex(value);
    putchar(' ');
}

static void put_sample(const exposition_sample *s)
{
    str name = STR("__name__");
    uint32_t i = 0;
    for (; i < s->label_count && str_cmp(s->labels[i].name, name) < 0; i++)
        put_label(s->labels[i].name, s->labels[i].value);
    put_label(name, s->name);
    for (; i < s->label_count; i++)
        put_label(s->labels[i].name, s->labels[i].value);
    printf("%llx", bits_of(s->value));
    if (s->has_time)
        printf(" @%lld", (long long)s->time_ms);
    if (s->exemplar_count)
        printf(" #%llx", bits_of(s->exemplars[0].f64));
    putchar('\n');
}

int main(void)
{
    char kind;
    size_t n;
    while (scanf("%c %zu", &kind, &n) == 2 && getchar() == 0x0a) {
        char *page = malloc(n + 1);
        exposition_page p;
        error err;
        exposition_options options = { .lenient = true };
        if (!page || fread(page, 1, n, stdin) != n)
            return 1;
        if (exposition_read(&p, kind == 'o' ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT,
                            str_n(page, n), &options, &err) != STATUS_OK) {
            printf("refused %s\n", err.message);
        } else {
            printf("%u\n", p.sample_count);
            for (uint32_t i = 0; i < p.sample_count; i++)
                put_sample(&p.samples[i]);
        }
        exposition_done(&p);
        free(page);
    }
    return 0;
}
