# One interface target carries every compiler and linker flag.
add_library(sonde_flags INTERFACE)
target_compile_options(sonde_flags INTERFACE
  -Wall -Wextra -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
  -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough -Wno-missing-field-initializers
  -fno-common -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong
  -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  # A name of ours may be that of a type; cut paths are checked where they matter.
  target_compile_options(sonde_flags INTERFACE -Wshadow=local -Wno-format-truncation)
endif()
target_compile_definitions(sonde_flags INTERFACE _GNU_SOURCE SONDE_VERSION="${PROJECT_VERSION}")
if(SONDE_WERROR)
  target_compile_options(sonde_flags INTERFACE -Werror)
endif()
if(SONDE_SANITIZE)
  target_compile_options(sonde_flags INTERFACE -fsanitize=${SONDE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(sonde_flags INTERFACE -fsanitize=${SONDE_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES Release|RelWithDebInfo)
  target_compile_options(sonde_flags INTERFACE -D_FORTIFY_SOURCE=2 -fstack-clash-protection -g1)
endif()
target_link_options(sonde_flags INTERFACE -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
