// SPDX-License-Identifier: Apache-2.0
/* spdlog, as a program that wants JSON lines would use it: sync and async loggers that format 2
 * strings and 2 numbers into a file. The async queue holds more than a burst, so that no call waits
 * for room; it is emptied between bursts. */
#include "benchmarks/measure.h"

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <unistd.h>

static std::shared_ptr<spdlog::logger> sync_logger, async_logger;
static std::string directory;

static void log_four_fields(spdlog::logger &logger, int thread)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        logger.info(R"({{"event":"{}","order_id":{},"total":{},"currency":"{}","thread":{}}})",
                    "order_placed", i, 99.5, "EUR", thread);
}

static void log_sync(int thread)
{
    log_four_fields(*sync_logger, thread);
}

static void log_async(int thread)
{
    log_four_fields(*async_logger, thread);
}

static void log_disabled(int thread)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        sync_logger->debug("order {} {} {}", i, 99.5, thread);
}

/* Files are cut short now and then, or a run would fill a small disk. */
static void between()
{
    static int rounds;
    async_logger->flush();
    sync_logger->flush();
    if (++rounds % 64 == 0) {
        for (const char *name : { "/sync.log", "/async.log" })
            if (FILE *f = std::fopen((directory + name).c_str(), "r+")) {
                if (ftruncate(fileno(f), 0) != 0)
                    std::exit(1);
                std::fclose(f);
            }
    }
}

int main()
{
    char path[] = "/tmp/sonde-bench-XXXXXX";
    if (!mkdtemp(path))
        return 1;
    directory = path;
    spdlog::init_thread_pool(1 << 17, 1);
    sync_logger = spdlog::basic_logger_mt("sync", directory + "/sync.log");
    async_logger =
        spdlog::basic_logger_mt<spdlog::async_factory>("async", directory + "/async.log");
    const measure measures[] = {
        { "log, 4 fields, sync", log_sync, "" },
        { "log, 4 fields, async", log_async, "" },
        { "log, level disabled", log_disabled, "" },
    };
    measure_table("spdlog", measures, sizeof(measures) / sizeof(*measures), between);
    spdlog::shutdown();
    std::remove((directory + "/sync.log").c_str());
    std::remove((directory + "/async.log").c_str());
    return std::remove(directory.c_str());
}
