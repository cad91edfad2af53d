find_library(WSLAY wslay REQUIRED)
# The worker is started for each session and has nothing but the C library and Jansson to load.
set(web_socket common/web_socket.c common/web_socket_client.c)
set(observability debug-server/env_file.c debug-server/observability/start.c
  debug-server/observability/logging.c debug-server/observability/metrics.c
  debug-server/observability/tracing.c)
sonde_example(debug-server server debug-server/server.c debug-server/relay.c debug-server/sessions.c
  debug-server/stream.c common/web_socket_server.c ${web_socket} ${observability} ${common})
sonde_example(debug-server runner debug-server/runner.c debug-server/session_run.c
  debug-server/worker_process.c debug-server/sessions.c ${web_socket} ${observability} ${common})
sonde_example(debug-server client debug-server/client.c ${web_socket} ${observability} ${common})
sonde_example(debug-server worker debug-server/worker.c debug-server/target.c)
foreach(program server runner client)
  target_link_libraries(example_debug-server_${program} PRIVATE ${WSLAY})
endforeach()
target_link_options(example_debug-server_worker PRIVATE -Wl,--as-needed)
add_dependencies(example_debug-server_runner example_debug-server_worker)
