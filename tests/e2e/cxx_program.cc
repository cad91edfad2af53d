// SPDX-License-Identifier: Apache-2.0
// Every macro and verb of the library in C++17, with the types that only C++ has; test_cxx.py
// checks what comes out. A static object records in its constructor and its destructor.
#include <sonde/sonde.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

enum class Colour { red = 3 };
enum Plain { plain = 4 };

static struct Static {
    Static()
    {
        sonde_info("before_main");
    } // counted, not recorded
    ~Static()
    {
        sonde_info("after_main");
    }
} object;

static int throws_inside()
{
    try {
        SONDE_SPAN ("thrown_through") {
            SONDE_CONTEXT (sonde_kv("user_id", "u-1")) {
                throw std::runtime_error("out");
            }
        }
    } catch (const std::exception &e) {
        sonde_error("caught", sonde_kv("what", e.what()),
                    sonde_kv("span", sonde_span_current() != nullptr));
    }
    return 1;
}

static void logs()
{
    const std::string text = "a string";
    std::string_view view = std::string_view(text).substr(2);
    sonde_debug("hidden", sonde_kv("n", 1));
    sonde_info("types", sonde_kv("bool", true), sonde_kv("char", 'c'),
               sonde_kv("short", short{ -1 }), sonde_kv("unsigned", 2u), sonde_kv("i64", INT64_MIN),
               sonde_kv("u64", UINT64_MAX), sonde_kv("float", 1.5f), sonde_kv("double", 2.5),
               sonde_kv("literal", "text"), sonde_kv("string", text), sonde_kv("view", view),
               sonde_kv("temporary", text + "!"), sonde_kv("class", Colour::red),
               sonde_kv("enum", plain));
    sonde_warn("formatted", sonde_kv_fmt("detail", "%d of %s", 7, "nine"), sonde_kv_errno(2),
               sonde_kv_bytes("bytes", "\0\1", 2));
    sonde_fatal("nothing_more");
    sonde_log(SONDE_INFO, sonde_str{ view.data(), view.size() }, nullptr, 0);
}

static void spans_and_context()
{
    sonde_context saved{};
    SONDE_CONTEXT (sonde_kv("request_id", "r-1"), sonde_kv("team", std::string("blue"))) {
        SONDE_SPAN_KIND (SONDE_SERVER, "served", sonde_kv("path", "/")) {
            sonde_span_set(sonde_kv("late", 1));
            sonde_span_event("happened", sonde_kv("at", 2.5));
            sonde_span_fail("went wrong", sonde_kv("code", 500));
            saved = sonde_context_capture();
        }
    }
    std::thread([&] {
        SONDE_WITH (saved) {
            sonde_info("in_thread");
        }
    }).join();
    sonde_span_options options{};
    options.kind = SONDE_CLIENT;
    sonde_span *span = sonde_span_start("by_hand", &options);
    sonde_span_set_on(span, sonde_kv("text", std::string_view("v")));
    sonde_span_end(span);
}

static void metrics()
{
    sonde_counter *orders = sonde_counter_new("orders_total", "Orders.", SONDE_LABELS("currency"));
    sonde_counter_add(orders, 1, "EUR");
    sonde_counter_add(orders, 2, std::string("EUR").c_str());
    sonde_bound_counter *bound = sonde_counter_bind(orders, "USD");
    sonde_counter_add(bound, 4);
    sonde_gauge *level = sonde_gauge_new("level", "Level.", SONDE_LABELS());
    sonde_gauge_set(level, 2.5);
    sonde_gauge_add(level, 1);
    sonde_histogram *seconds = sonde_histogram_new("took_seconds", "Took.", SONDE_LABELS("what"));
    sonde_histogram_record(seconds, 0.2, "work");
    SONDE_TIMER (seconds, "work") {
        logs();
    }
    sonde_http_request request{};
    request.method = "GET";
    request.path = "/metrics";
    sonde_http_response page{};
    if (sonde_http_handle(&request, &page))
        std::fwrite(page.body, 1, page.body_len, stderr);
    sonde_http_response_free(&page);
}

int main()
{
    sonde_options options{};
    options.service = "cxx";
    sonde_start(&options);
    metrics();
    spans_and_context();
    return throws_inside() - 1; // exit() drains
}
