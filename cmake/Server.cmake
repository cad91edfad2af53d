# The server: one static library a layer, and the binary.
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SERVER_CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(LIBFYAML REQUIRED IMPORTED_TARGET libfyaml)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
find_package(ZLIB REQUIRED)
find_library(HTTP_PARSER http_parser REQUIRED)
find_library(ROARING roaring REQUIRED)
find_library(WSLAY wslay REQUIRED)
find_library(SNAPPY snappy REQUIRED)
find_library(CRYPT crypt REQUIRED)

sonde_layer(sonde_net src/net sonde_base PkgConfig::NGHTTP2 PkgConfig::OPENSSL PkgConfig::ZSTD
  PkgConfig::SERVER_CURL ZLIB::ZLIB ${HTTP_PARSER} ${WSLAY} ${SNAPPY})
sonde_layer(sonde_settings src/settings sonde_net sonde_codec sonde_base PkgConfig::LIBFYAML)
sonde_layer(sonde_store src/store sonde_codec sonde_base PkgConfig::ZSTD PkgConfig::XXHASH
  PkgConfig::PCRE2 ${ROARING})
sonde_layer(sonde_pipeline src/pipeline sonde_settings sonde_net sonde_store sonde_codec sonde_base
  PkgConfig::PCRE2 PkgConfig::XXHASH ${CRYPT} resolv)
sonde_layer(sonde_query src/query sonde_store sonde_codec sonde_base PkgConfig::PCRE2)
sonde_layer(sonde_rules src/rules sonde_query sonde_settings sonde_store sonde_net sonde_codec
  sonde_base PkgConfig::SQLITE)
sonde_layer(sonde_api src/api sonde_rules sonde_query sonde_pipeline sonde_settings sonde_store sonde_net
  sonde_codec sonde_base)

# The web UI is compiled by Vite and embedded as bytes; without Node the build says how to get it.
include(Web)

file(GLOB cmd_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cmd/*.c)
if(TARGET sonde_api AND TARGET sonde_lib AND cmd_sources)
  add_executable(sonde ${cmd_sources})
  target_link_libraries(sonde PRIVATE sonde_api sonde_rules sonde_query sonde_pipeline sonde_settings sonde_store sonde_net
    sonde_web sonde_lib sonde_codec sonde_base PkgConfig::SERVER_CURL)
  target_compile_options(sonde PRIVATE -fPIE)
  target_link_options(sonde PRIVATE -pie)
  install(TARGETS sonde RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
