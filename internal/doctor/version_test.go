package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNeedVersion(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]Status{
		"7.0.15": OK, "7.0": OK, "8.2.1": OK, "6.2.14": Fail, "": Fail, "2.12": Fail,
	} {
		r := &report{}
		needVersion(r, "redis version", have, 7, 0, "redis-server")
		require.Equal(t, want, r.findings[0].Status, have)
	}
	for have, want := range map[string]Status{"2.12.0": OK, "2.15.2": OK, "2.11.9": Fail, "3.0.0-beta": OK, "2.12.0-RC.1": OK} {
		r := &report{}
		needVersion(r, "nats version", have, 2, 12, "nats-server")
		require.Equal(t, want, r.findings[0].Status, have)
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	require.Equal(t, OK, Worst(nil))
	require.Equal(t, Warn, Worst([]Finding{{Status: OK}, {Status: Warn}, {Status: OK}}))
	require.Equal(t, Fail, Worst([]Finding{{Status: Warn}, {Status: Fail}, {Status: OK}}))
}
