// SPDX-License-Identifier: Apache-2.0
/* Logs, spans, context, baggage and propagation from C++17. Arguments: "run" ends well; "fail" is
 * an unsampled trace whose local root fails; "die" one whose process is killed in it. */
#include <sonde/sonde.h>

#include <csignal>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace
{

enum class color { red = 3 };

int leave_by_return(int n)
{
    SONDE_SPAN ("returns", sonde_kv("n", n)) {
        if (n > 0)
            return n;
    }
    return -1;
}

void leave_by_exception()
{
    try {
        SONDE_SPAN ("throws") {
            throw std::string("out of stock");
        }
    } catch (const std::string &what) {
        sonde_span_error("std::string", what.c_str(), sonde_kv("exception.stacktrace", "app.cc"));
    }
}

using headers = std::map<std::string, std::string>;

void set_header(void *user, const char *name, const char *value)
{
    (*static_cast<headers *>(user))[name] = value;
}

const char *get_header(void *user, const char *name)
{
    const auto &all = *static_cast<headers *>(user);
    auto found = all.find(name);
    return found == all.end() ? nullptr : found->second.c_str();
}

/* A callback carries its context by value. */
std::function<void()> bound(std::function<void()> work)
{
    sonde_context saved = sonde_context_capture();
    return [saved, work] {
        SONDE_WITH (saved) {
            work();
        }
    };
}

void run()
{
    std::string user = "ann";
    std::string_view tenant = "acme";
    std::deque<std::function<void()>> queue;
    headers sent;
    SONDE_CONTEXT (sonde_kv("user_id", user), sonde_kv("tenant", tenant)) {
        SONDE_BAGGAGE(sonde_kv("plan", "gold"))
        {
            SONDE_SPAN_KIND (SONDE_SERVER, "request", sonde_kv("color", color::red),
                             sonde_kv("fast", true), sonde_kv("ratio", 0.5)) {
                sonde_info("in_request", sonde_kv("small", static_cast<short>(-1)));
                sonde_span_set(sonde_kv("late", 1u));
                sonde_span_event("looked", sonde_kv("at", "stock"));
                leave_by_return(2);
                leave_by_exception();
                sonde_inject(set_header, &sent);
                queue.push_back(bound([] { sonde_info("in_callback"); }));
            }
        }
    }
    std::thread([&] {
        queue.front()();
        sonde_context from = sonde_extract(get_header, &sent);
        SONDE_WITH (from) {
            SONDE_SPAN ("continued") {
                sonde_context here = sonde_context_capture();
                sonde_span_link(&here, sonde_kv("to", "itself"));
                char plan[16];
                sonde_info("in_continued",
                           sonde_kv("plan", sonde_baggage_get("plan", plan, 16) ? plan : ""));
            }
        }
    }).join();
}

void unsampled(bool die)
{
    SONDE_SPAN ("root") {
        SONDE_SPAN ("child", sonde_kv("n", 1)) {
        }
        if (die)
            raise(SIGKILL);
        sonde_span_fail("broken");
    }
    SONDE_SPAN ("fine") {
    }
}

} // namespace

int main(int argc, char **argv)
{
    std::string what = argc > 1 ? argv[1] : "run";
    sonde_options options = {};
    options.service = "cxx-app";
    options.always_on_error = what != "run";
    if (what != "run")
        options.sampler = "parentbased_always_off";
    if (sonde_start(&options) != 0)
        return 1;
    if (what == "run")
        run();
    else if (what != "recover")
        unsampled(what == "die");
    sonde_stop();
    return 0;
}
