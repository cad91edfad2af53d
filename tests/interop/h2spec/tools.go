// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the program that is built, so that go.sum covers it.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
