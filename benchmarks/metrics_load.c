// SPDX-License-Identifier: Apache-2.0
/* Writes the metrics of a made-up fleet by remote write 1.0: nodes with processors, memory, disks,
 * networks, and services with request histograms. The same arguments give the same samples; each
 * instance has its own offset within the step, as scrapes have. Instances are divided among the
 * connections, so that the samples of a series arrive in order of time.
 * usage: bench_metrics_load PORT PATH key=value…   start (ms), step (ms), steps, instances,
 *   services, seed, connections, window (steps in a request), live (1: each step is sent at its
 *   time). Prints "series samples seconds refused". */
#include "base/arena.h"
#include "base/clock.h"
#include "store/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 16, GROUP = 5, CPUS = 8, MODES = 8, NETS = 3, DISKS = 2, MOUNTS = 4 };
enum { HANDLERS = 10, BUCKETS = 10, CODES = 8 };

typedef enum { KIND_TICKS, KIND_COUNT, KIND_BYTES, KIND_LOAD, KIND_FIXED, KIND_BUCKET } kind;

typedef struct {
    str labels; /* Label messages as they stand in a TimeSeries */
    kind kind;
    uint32_t rate; /* of what is added at each step, about */
    uint64_t state, sum;
} made_series;

typedef struct {
    made_series *items;
    uint32_t count, capacity;
    uint32_t offset_ms;
} instance;

static struct {
    uint16_t port;
    const char *path;
    uint64_t start, step, steps, instances, services, seed, connections, window, live;
    instance *all;
    uint32_t count;
    atomic_ullong samples, refused;
    atomic_bool failed;
} load = { .step = 15000,
           .steps = 1440,
           .instances = 200,
           .services = 10,
           .seed = 1,
           .connections = 2,
           .window = 10 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* ---- the fleet ---- */

static void put_field(buf *out, unsigned number, str bytes)
{
    put_varint(out, number << 3 | 2);
    put_text(out, bytes);
}

static void put_label(buf *out, const char *name, const char *value)
{
    buf pair;
    buf_init(&pair, 0);
    put_field(&pair, 1, str_c(name));
    put_field(&pair, 2, str_c(value));
    put_field(out, 1, buf_view(&pair));
    buf_done(&pair);
}

/* labels: names and values in turn, sorted by name, NULL at the end. */
static made_series *add_series(instance *in, const char *const *labels, kind k, uint32_t rate)
{
    if (in->count == in->capacity) {
        in->capacity = in->capacity ? in->capacity * 2 : 128;
        in->items = realloc(in->items, in->capacity * sizeof(made_series));
        if (!in->items)
            abort();
    }
    buf text;
    buf_init(&text, 0);
    for (; labels[0]; labels += 2)
        put_label(&text, labels[0], labels[1]);
    made_series *s = &in->items[in->count++];
    *s = (made_series){ .labels = buf_view(&text), .kind = k, .rate = rate };
    s->state = load.seed ^ str_hash(s->labels);
    s->sum = next_random(&s->state) % ((uint64_t)rate * 4000 + 1);
    return s;
}

#define SERIES(in, kind, rate, ...) \
    add_series(in, (const char *const[]){ __VA_ARGS__, NULL }, kind, rate)

static const char *const modes[MODES] = { "idle",    "iowait", "irq",    "nice",
                                          "softirq", "steal",  "system", "user" };
static const uint32_t mode_rates[MODES] = { 1200, 20, 1, 2, 10, 5, 90, 160 };
static const char *const nets[NETS] = { "eth0", "lo", "veth12ab" };
static const char *const disks[DISKS] = { "nvme0n1", "nvme1n1" };
static const char *const mounts[MOUNTS] = { "/", "/boot", "/data", "/var/log" };

static void add_node(instance *in, const char *name, const char *node)
{
    char number[8];
    for (int c = 0; c < CPUS; c++) {
        snprintf(number, sizeof(number), "%d", c);
        for (int m = 0; m < MODES; m++)
            SERIES(in, KIND_TICKS, mode_rates[m], "__name__", "node_cpu_seconds_total", "cpu",
                   number, "instance", name, "job", "node", "mode", modes[m]);
    }
    static const char *const memory[] = { "node_memory_MemTotal_bytes", "node_memory_MemFree_bytes",
                                          "node_memory_MemAvailable_bytes",
                                          "node_memory_Buffers_bytes", "node_memory_Cached_bytes" };
    for (size_t i = 0; i < ARRAY_LEN(memory); i++)
        SERIES(in, i ? KIND_BYTES : KIND_FIXED, 1u << 20, "__name__", memory[i], "instance", name,
               "job", "node");
    static const char *const loads[] = { "node_load1", "node_load5", "node_load15" };
    for (size_t i = 0; i < ARRAY_LEN(loads); i++)
        SERIES(in, KIND_LOAD, 30, "__name__", loads[i], "instance", name, "job", "node");
    for (int i = 0; i < MOUNTS; i++) {
        SERIES(in, KIND_BYTES, 1u << 16, "__name__", "node_filesystem_avail_bytes", "device",
               disks[i % DISKS], "fstype", "ext4", "instance", name, "job", "node", "mountpoint",
               mounts[i]);
        SERIES(in, KIND_FIXED, 1u << 24, "__name__", "node_filesystem_size_bytes", "device",
               disks[i % DISKS], "fstype", "ext4", "instance", name, "job", "node", "mountpoint",
               mounts[i]);
    }
    for (int i = 0; i < NETS; i++) {
        SERIES(in, KIND_COUNT, 90000, "__name__", "node_network_receive_bytes_total", "device",
               nets[i], "instance", name, "job", "node");
        SERIES(in, KIND_COUNT, 60000, "__name__", "node_network_transmit_bytes_total", "device",
               nets[i], "instance", name, "job", "node");
    }
    for (int i = 0; i < DISKS; i++)
        SERIES(in, KIND_TICKS, 200, "__name__", "node_disk_io_time_seconds_total", "device",
               disks[i], "instance", name, "job", "node");
    SERIES(in, KIND_FIXED, 1, "__name__", "node_boot_time_seconds", "instance", name, "job",
           "node");
    SERIES(in, KIND_FIXED, 0, "__name__", "node_uname_info", "instance", name, "job", "node",
           "nodename", node, "release", "6.1.0-18-amd64", "sysname", "Linux");
}

static void add_service(instance *in, const char *name)
{
    static const char *const bounds[BUCKETS] = { "0.005", "0.01", "0.025", "0.05", "0.1",
                                                 "0.25",  "0.5",  "1",     "2.5",  "+Inf" };
    static const char *const codes[CODES] = {
        "200", "201", "204", "400", "404", "429", "500", "503"
    };
    char handler[32];
    for (int h = 0; h < HANDLERS; h++) {
        snprintf(handler, sizeof(handler), "/api/v1/items%d", h);
        for (int b = 0; b < BUCKETS; b++)
            SERIES(in, KIND_BUCKET, 40, "__name__", "http_request_duration_seconds_bucket",
                   "handler", handler, "instance", name, "job", "api", "le", bounds[b]);
        SERIES(in, KIND_COUNT, 400, "__name__", "http_request_duration_seconds_count", "handler",
               handler, "instance", name, "job", "api");
        SERIES(in, KIND_TICKS, 4000, "__name__", "http_request_duration_seconds_sum", "handler",
               handler, "instance", name, "job", "api");
        for (int c = 0; c < CODES; c++)
            SERIES(in, KIND_COUNT, c < 3 ? 200 : 3, "__name__", "http_requests_total", "code",
                   codes[c], "handler", handler, "instance", name, "job", "api");
    }
}

static uint64_t make_fleet(void)
{
    uint64_t series = 0;
    char name[32], node[32];
    load.all = calloc(load.instances + load.services, sizeof(instance));
    if (!load.all)
        abort();
    for (uint64_t i = 0; i < load.instances + load.services; i++) {
        instance *in = &load.all[load.count++];
        bool is_node = i < load.instances;
        snprintf(name, sizeof(name), is_node ? "node-%llu:9100" : "api-%llu:8080",
                 (unsigned long long)(is_node ? i : i - load.instances));
        snprintf(node, sizeof(node), "node-%llu", (unsigned long long)i);
        /* Never on a whole second: queries at whole seconds then meet no sample. */
        in->offset_ms = (uint32_t)((i * 737 + 113) % (load.step - 1) + 1);
        in->offset_ms += in->offset_ms % 1000 == 0;
        if (is_node)
            add_node(in, name, node);
        else
            add_service(in, name);
        series += in->count;
    }
    return series;
}

/* ---- samples ---- */

static double next_value(made_series *s, double *bucket)
{
    uint64_t r = next_random(&s->state);
    uint64_t around = s->rate ? s->rate / 2 + r % (s->rate + 1u) : 0;
    switch (s->kind) {
    case KIND_TICKS:
        s->sum += around;
        return (double)s->sum / 100;
    case KIND_COUNT:
        s->sum += around;
        return (double)s->sum;
    case KIND_BYTES: /* a walk in pages of 4 KiB */
        s->sum += r % 2 ? around / 64 : -MIN(s->sum, around / 64);
        return (double)(s->sum * 4096);
    case KIND_LOAD:
        return (double)(s->rate * 4 + r % (s->rate * 4)) / 100;
    case KIND_FIXED:
        return s->rate ? s->rate * 4096.0 + 1.7e9 : 1;
    case KIND_BUCKET: /* the buckets of one histogram follow one another */
        s->sum += around;
        *bucket += (double)s->sum;
        return *bucket;
    }
    return 0;
}

/* Buckets need the state of those before them at the same step: values are made step by step. */
static void put_window(buf *out, instance *in, uint64_t from, uint64_t to, double *values)
{
    uint64_t steps = to - from;
    for (uint64_t k = 0; k < steps; k++) {
        double bucket = 0;
        for (uint32_t i = 0; i < in->count; i++) {
            if (in->items[i].kind != KIND_BUCKET || i % (BUCKETS + 2 + CODES) == 0)
                bucket = 0;
            values[i * steps + k] = next_value(&in->items[i], &bucket);
        }
    }
    buf body, pair;
    buf_init(&body, 0);
    buf_init(&pair, 0);
    for (uint32_t i = 0; i < in->count; i++) {
        buf_clear(&body);
        buf_str(&body, in->items[i].labels);
        for (uint64_t k = 0; k < steps; k++) {
            buf_clear(&pair);
            buf_char(&pair, 1 << 3 | 1);
            buf_add(&pair, &values[i * steps + k], 8);
            buf_char(&pair, 2 << 3);
            put_varint(&pair, load.start + (from + k) * load.step + in->offset_ms);
            put_field(&body, 2, buf_view(&pair));
        }
        put_field(out, 1, buf_view(&body));
    }
    buf_done(&body);
    buf_done(&pair);
    atomic_fetch_add(&load.samples, in->count * steps);
}

/* ---- sending ---- */

static int dial(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(load.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* The answer's status; 0 when the connection broke. Answers have no body, or a short one. */
static long get_answer(int fd)
{
    char answer[1 << 16];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, answer + have, sizeof(answer) - 1 - have, 0);
        if (n <= 0)
            return 0;
        have += (size_t)n;
        answer[have] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        if (!end)
            continue;
        const char *length = strcasestr(answer, "\r\nContent-Length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (have >= (size_t)(end + 4 - answer) + body)
            return strtol(answer + sizeof("HTTP/1.1 ") - 1, NULL, 10);
    }
}

/* 429 and 503 are asked again. */
static bool post(int fd, str body, buf *packed)
{
    char head[512];
    size_t n = snappy_max_compressed_length(body.len);
    buf_clear(packed);
    if (!buf_reserve(packed, n) ||
        snappy_compress(body.ptr, body.len, packed->ptr, &n) != SNAPPY_OK)
        return false;
    int size = snprintf(head, sizeof(head),
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n"
                        "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
                        "X-Prometheus-Remote-Write-Version: 0.1.0\r\n\r\n",
                        load.path, n);
    for (int tries = 0; tries < 1000; tries++) {
        if (!send_all(fd, head, (size_t)size) || !send_all(fd, packed->ptr, n))
            return false;
        long status = get_answer(fd);
        if (status >= 200 && status < 300)
            return true;
        if (status != 429 && status != 503) {
            fprintf(stderr, "bench_metrics_load: answered %ld\n", status);
            return false;
        }
        atomic_fetch_add(&load.refused, 1);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    return false;
}

static void wait_until_ms(uint64_t ms)
{
    int64_t left = (int64_t)ms * NS_PER_MS - clock_now_ns();
    if (left > 0)
        nanosleep(&(struct timespec){ left / NS_PER_S, left % NS_PER_S }, NULL);
}

static void *connection_run(void *arg)
{
    uint64_t me = (uint64_t)(uintptr_t)arg;
    uint32_t most = 0;
    for (uint32_t i = 0; i < load.count; i++)
        most = MAX(most, load.all[i].count);
    double *values = calloc(most * load.window, sizeof(double));
    buf body, packed;
    buf_init(&body, 0);
    buf_init(&packed, 0);
    int fd = dial();
    bool ok = values && fd >= 0;
    for (uint64_t from = 0; ok && from < load.steps; from += load.window) {
        uint64_t to = MIN(from + load.window, load.steps);
        uint32_t grouped = 0;
        if (load.live)
            wait_until_ms(load.start + to * load.step);
        for (uint64_t i = me; i < load.count && ok; i += load.connections) {
            put_window(&body, &load.all[i], from, to, values);
            if (++grouped < GROUP && i + load.connections < load.count)
                continue;
            ok = post(fd, buf_view(&body), &packed);
            buf_clear(&body);
            grouped = 0;
        }
        ok = ok && !atomic_load(&load.failed);
    }
    if (!ok)
        atomic_store(&load.failed, true);
    if (fd >= 0)
        close(fd);
    buf_done(&body);
    buf_done(&packed);
    free(values);
    return NULL;
}

static bool read_options(int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *value;
    } options[] = {
        { "start", &load.start },       { "step", &load.step },
        { "steps", &load.steps },       { "instances", &load.instances },
        { "services", &load.services }, { "seed", &load.seed },
        { "window", &load.window },     { "connections", &load.connections },
        { "live", &load.live },
    };
    if (argc < 3)
        return false;
    load.port = (uint16_t)strtoul(argv[1], NULL, 10);
    load.path = argv[2];
    for (int i = 3; i < argc; i++) {
        str value, name = str_cut(str_c(argv[i]), '=', &value);
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(options) && !known; k++)
            known = str_is(name, options[k].name) && str_to_u64(value, options[k].value);
        if (!known)
            return false;
    }
    return load.connections >= 1 && load.connections <= CONNECTIONS_MAX && load.window >= 1 &&
           load.step >= 10;
}

int main(int argc, char **argv)
{
    pthread_t thread[CONNECTIONS_MAX];
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: bench_metrics_load PORT PATH key=value…\n");
        return 2;
    }
    uint64_t series = make_fleet();
    int64_t begin = clock_mono_ns();
    for (uint64_t i = 0; i < load.connections; i++)
        if (pthread_create(&thread[i], NULL, connection_run, (void *)(uintptr_t)i) != 0)
            return 1;
    for (uint64_t i = 0; i < load.connections; i++)
        pthread_join(thread[i], NULL);
    printf("%llu %llu %.3f %llu\n", (unsigned long long)series,
           (unsigned long long)atomic_load(&load.samples),
           (double)(clock_mono_ns() - begin) / NS_PER_S,
           (unsigned long long)atomic_load(&load.refused));
    return load.failed ? 1 : 0;
}
