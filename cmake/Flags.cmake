# One interface target carries every compiler and linker flag.
add_library(sonde_flags INTERFACE)
target_compile_options(sonde_flags INTERFACE
  -Wall -Wextra -Wshadow=local -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
  -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough -Wno-missing-field-initializers -Wno-format-truncation
  -fno-common -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong
  -fno-omit-frame-pointer)
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
