# web/dist (made by Vite) becomes one object file with the compressed assets.
set(web_dist ${CMAKE_BINARY_DIR}/web)
file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/src/*)
file(GLOB web_config CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/*.json ${CMAKE_SOURCE_DIR}/web/*.ts
  ${CMAKE_SOURCE_DIR}/web/*.html ${CMAKE_SOURCE_DIR}/web/public/* ${CMAKE_SOURCE_DIR}/web/.npmrc)
add_custom_command(OUTPUT ${web_dist}/assets.c
  COMMAND ${CMAKE_SOURCE_DIR}/tools/build-web ${CMAKE_SOURCE_DIR}/web ${web_dist}
  DEPENDS ${web_sources} ${web_config} ${CMAKE_SOURCE_DIR}/tools/build-web
          ${CMAKE_SOURCE_DIR}/tools/embed.py
  COMMENT "web UI (npm ci, vite build)"
  VERBATIM)
add_library(sonde_web STATIC ${web_dist}/assets.c)
target_include_directories(sonde_web PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(sonde_web PRIVATE sonde_flags)
