/* The library is made of its layers; CMake wants one source. */
