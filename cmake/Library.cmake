# libsonde: lib/ with base/ and codec/ inside. Only sonde_* symbols leave it.
file(GLOB_RECURSE lib_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/*.c)
list(FILTER lib_sources EXCLUDE REGEX "/lib/heap/")
if(NOT lib_sources)
  return()
endif()
# libcurl and libmicrohttpd are loaded when first needed (lib/dynamic.h): only their headers count here.
set(lib_packages "")
set(lib_includes "")
set(lib_definitions "")
if(SONDE_EXPORT)
  pkg_check_modules(LIBCURL REQUIRED IMPORTED_TARGET libcurl)
  find_package(ZLIB REQUIRED)
  list(APPEND lib_packages ZLIB::ZLIB)
  list(APPEND lib_includes ${LIBCURL_INCLUDE_DIRS})
  list(APPEND lib_definitions SONDE_EXPORT=1)
else()
  list(APPEND lib_definitions SONDE_EXPORT=0)
endif()
if(SONDE_ADMIN)
  pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
  list(APPEND lib_includes ${MICROHTTPD_INCLUDE_DIRS})
  list(APPEND lib_definitions SONDE_ADMIN=1)
else()
  list(APPEND lib_definitions SONDE_ADMIN=0)
endif()
if(SONDE_DEBUG_ENDPOINTS)
  list(APPEND lib_definitions SONDE_DEBUG_ENDPOINTS=1)
else()
  list(APPEND lib_definitions SONDE_DEBUG_ENDPOINTS=0)
endif()

# In a release everything that no program waits for is compiled for size. What runs in calls, in the drainer for each
# record, at a scrape, or in the server's ingest is compiled for speed.
if(CMAKE_BUILD_TYPE MATCHES Release)
  set(fast "lib/(context|db|db_texts|drain_lanes|drain_lines|http|http_(access|handle|keep|metrics)|ids|log|metric_page|metric_series|metric_shard|metric_update|propagate|propagate_w3c|ring|site|span[a-z_]*|state[a-z_]*)|codec/(batch|exp_histogram|json_[a-z]*|log_json|otlp_(decode|encode|sink|source)|otlp_json_[a-z]*|prom_escape|prom_name|prom_page|protobuf|recorder_(cursor|decode|layout|metrics|poll|source)|redact[a-z_]*)")
  file(GLOB_RECURSE small ${PROJECT_SOURCE_DIR}/lib/*.c ${PROJECT_SOURCE_DIR}/codec/*.c)
  list(FILTER small EXCLUDE REGEX "/(${fast})\\.c$")
  set_source_files_properties(${small} PROPERTIES COMPILE_OPTIONS -Os)
  file(GLOB_RECURSE rest ${PROJECT_SOURCE_DIR}/lib/*.c)
  list(REMOVE_ITEM rest ${small})
  list(FILTER rest EXCLUDE REGEX "/span[a-z_]*\\.c$") # 55 ns with -O3, 65 with -O2
  set_source_files_properties(${rest} PROPERTIES COMPILE_OPTIONS -O2)
endif()

# sonde_lib: the objects, for the server and the unit tests, with all symbols reachable.
add_library(sonde_lib STATIC ${lib_sources})
target_include_directories(sonde_lib PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include ${lib_includes})
target_compile_definitions(sonde_lib PUBLIC ${lib_definitions})
target_link_libraries(sonde_lib PUBLIC sonde_flags sonde_codec sonde_base ${lib_packages} Threads::Threads m)

# sonde_shared: libsonde.so, what users link.
add_library(sonde_shared SHARED ${PROJECT_SOURCE_DIR}/cmake/empty.c)
target_link_libraries(sonde_shared PRIVATE sonde_flags
  -Wl,--whole-archive sonde_lib sonde_codec sonde_base -Wl,--no-whole-archive ${lib_packages})
target_link_options(sonde_shared PRIVATE
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libsonde.map -Wl,-z,nodelete -Wl,--gc-sections)
target_include_directories(sonde_shared PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
include(CheckSymbolExists)
check_symbol_exists(__GLIBC__ features.h SONDE_HAS_GLIBC)
if(SONDE_HAS_GLIBC)
  # Relocations in a tenth of the space; glibc knows them since 2.36.
  target_link_options(sonde_shared PRIVATE -Wl,-z,pack-relative-relocs)
endif()
set_target_properties(sonde_shared PROPERTIES OUTPUT_NAME sonde VERSION ${PROJECT_VERSION}
  SOVERSION 0 EXPORT_NAME sonde)
add_library(sonde::sonde ALIAS sonde_shared)

# libsonde.a: one relocatable object in which all but sonde_* is local, so that no name of ours can
# meet one of the program's.
set(static_lib ${PROJECT_BINARY_DIR}/libsonde.a)
add_custom_command(OUTPUT ${static_lib}
  COMMAND ${CMAKE_LINKER} -r -o ${PROJECT_BINARY_DIR}/sonde_all.o --whole-archive
          $<TARGET_FILE:sonde_lib> $<TARGET_FILE:sonde_codec> $<TARGET_FILE:sonde_base>
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=sonde_* ${PROJECT_BINARY_DIR}/sonde_all.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${static_lib}
  COMMAND ${CMAKE_AR} rcs ${static_lib} ${PROJECT_BINARY_DIR}/sonde_all.o
  DEPENDS sonde_lib sonde_codec sonde_base
  COMMENT "libsonde.a"
  VERBATIM)
add_custom_target(sonde_static ALL DEPENDS ${static_lib})

# libsonde_heap.so: samples allocations for /debug/pprof/heap; stands in front of malloc, so it is never
# built with a sanitizer. Needs glibc.
if(SONDE_HAS_GLIBC)
  add_library(sonde_heap SHARED ${PROJECT_SOURCE_DIR}/lib/heap/heap.c ${PROJECT_SOURCE_DIR}/lib/pprof_unwind.c)
  target_include_directories(sonde_heap PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(sonde_heap PRIVATE _GNU_SOURCE)
  target_compile_options(sonde_heap PRIVATE -O2 -Wall -Wextra -fvisibility=hidden
    -fno-omit-frame-pointer -fno-builtin-malloc -fno-builtin-calloc -ftls-model=initial-exec)
  target_link_libraries(sonde_heap PRIVATE Threads::Threads m ${CMAKE_DL_LIBS})
  target_link_options(sonde_heap PRIVATE -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,-z,nodelete)
  set_target_properties(sonde_heap PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
endif()

include(Install)

# The common case of an update is a leaf of some 15 instructions: a frame would be a quarter of them.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  set_source_files_properties(${PROJECT_SOURCE_DIR}/lib/metric_update.c PROPERTIES
    COMPILE_OPTIONS -momit-leaf-frame-pointer)
endif()
