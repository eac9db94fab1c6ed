package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRow_CommandsNoTerminal: a partner or a provider wrote what is in it.
func TestRow_CommandsNoTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	row(&out, "detail", "no \x1b[2Jdriver\r\nÉva\u202e 運転手\tx", 7)
	require.Equal(t, "detail\tno \uFFFD[2Jdriver\uFFFD\uFFFDÉva\uFFFD 運転手\uFFFDx\t7\n", out.String())
}
