# cmake --install, find_package(sonde) and pkg-config from one source.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS sonde_shared EXPORT sonde LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${static_lib} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/sonde DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT sonde NAMESPACE sonde:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sonde
  FILE sonde-config.cmake)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sonde-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/sonde-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sonde)

set(pc_requires_private "")
if(SONDE_EXPORT)
  string(APPEND pc_requires_private "libcurl zlib ")
endif()
if(SONDE_ADMIN)
  string(APPEND pc_requires_private "libmicrohttpd ")
endif()
configure_file(cmake/sonde.pc.in ${CMAKE_BINARY_DIR}/sonde.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sonde.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
