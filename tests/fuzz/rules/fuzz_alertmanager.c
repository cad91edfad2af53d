// SPDX-License-Identifier: Apache-2.0
/* What the alertmanager reads from outside: by the first byte, "[": the body of POST alerts; "{":
 * of POST silences; "=": matchers; anything else: a configuration file, which is shown again. */
#include "rules/notify/config.h"
#include "rules/notify/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static alertmanager *am;
static char folder[64];

static void clean_up(void)
{
    char path[128];
    static const char *const names[] = { "", "-wal", "-shm" };
    alertmanager_free(am);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/alertmanager.db%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void open_once(void)
{
    error err;
    if (am)
        return;
    snprintf(folder, sizeof(folder), "/dev/shm/fuzz-alertmanager-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    alertmanager_options options = {
        .data = folder, .max_alerts = 50, .max_groups = 50, .max_silences = 20
    };
    if (alertmanager_open(&am, &options, &err) != STATUS_OK)
        abort();
    atexit(clean_up);
}

static void post(str text, arena *a)
{
    error err;
    str id;
    buf out;
    alertmanager_filter all = { .active = true, .silenced = true, .inhibited = true };
    open_once();
    bool alerts = text.ptr[0] == '[';
    status st = alerts ? alertmanager_post_alerts(am, text, a, &err)
                       : alertmanager_post_silence(am, text, a, &id, &err);
    if (st == STATUS_OK && !alerts && id.len != 36)
        abort();
    buf_init(&out, MiB(4));
    json_writer w = json_write(&out);
    if (alertmanager_write_alerts(am, &all, &w, &err) != STATUS_OK)
        abort();
    buf_done(&out);
}

static void read_matchers(str text, arena *a)
{
    error err;
    buf out;
    label l = { STR("a"), STR("b") };
    notify_matchers list = { 0 };
    if (notify_matchers_parse(a, text, &list, &err) != STATUS_OK)
        return;
    (void)notify_matchers_take(&list, (labels){ &l, 1 });
    notify_matchers_sort(&list);
    buf_init(&out, MiB(1));
    notify_matchers_print(&out, &list);
    buf_done(&out);
}

static void read_config(str text)
{
    error err;
    config *c;
    buf out;
    if (notify_config_parse(&c, "fuzz.yml", text, NULL, NULL, &err) != STATUS_OK)
        return;
    buf_init(&out, MiB(1));
    notify_config_describe(c, &out);
    buf_done(&out);
    notify_config_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    str text = str_n(data, size);
    if (!size)
        return 0;
    arena_init(&a, MiB(16));
    if (text.ptr[0] == '[' || text.ptr[0] == '{')
        post(text, &a);
    else if (text.ptr[0] == '=')
        read_matchers(str_slice(text, 1, text.len), &a);
    else
        read_config(text);
    arena_done(&a);
    return 0;
}
