# web/dist (made by Vite) becomes one object file with the compressed assets.
set(web_dist ${PROJECT_BINARY_DIR}/web)
file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/src/*)
file(GLOB web_config CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/*.json ${PROJECT_SOURCE_DIR}/web/*.ts
  ${PROJECT_SOURCE_DIR}/web/*.html ${PROJECT_SOURCE_DIR}/web/public/* ${PROJECT_SOURCE_DIR}/web/.npmrc)
add_custom_command(OUTPUT ${web_dist}/assets.c
  COMMAND ${PROJECT_SOURCE_DIR}/tools/build-web ${PROJECT_SOURCE_DIR}/web ${web_dist}
  DEPENDS ${web_sources} ${web_config} ${PROJECT_SOURCE_DIR}/tools/build-web
          ${PROJECT_SOURCE_DIR}/tools/embed.py
  COMMENT "web UI (npm ci, vite build)"
  VERBATIM)
add_library(sonde_web STATIC ${web_dist}/assets.c)
target_include_directories(sonde_web PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(sonde_web PRIVATE sonde_flags)
