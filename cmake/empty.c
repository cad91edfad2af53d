// SPDX-License-Identifier: Apache-2.0
/* The library is made of its layers; CMake wants one source. */
