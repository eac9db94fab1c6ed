package simulator_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/simulator"
	"writeback/pkg/tsp/tsptest"
)

var fleet = tsp.Connection{ID: uuid.MustParse("00000000-0000-7000-8000-0000000000c4")}

func designation(s string) operation.Changes {
	return operation.Changes{operation.FieldUserDesignation: operation.Text(s), operation.FieldNotes: operation.Text("n")}
}

func TestUpdateUser_Simulated(t *testing.T) {
	t.Parallel()
	tests := map[string]operation.Failure{
		"simulate:tsp":        {Type: operation.ErrorTSP, Retryable: true, StatusCode: 503},
		"simulate:network":    {Type: operation.ErrorNetwork, Retryable: true},
		"simulate:validation": {Type: operation.ErrorValidation, StatusCode: 422},
		"simulate:auth":       {Type: operation.ErrorAuth, StatusCode: 403},
		"simulate:rate_limit": {Type: operation.ErrorTSP, Retryable: true, StatusCode: 429, RetryAfter: 2 * time.Second},
		"simulate:flaky:0":    {Type: operation.ErrorValidation},
		"simulate:flaky:101":  {Type: operation.ErrorValidation},
		"simulate:flaky":      {Type: operation.ErrorValidation},
		"simulate:nothing":    {Type: operation.ErrorValidation},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := simulator.New(simulator.Config{})
			_, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: "u", Changes: designation(name)})
			got := *tsptest.Failure(t, err)
			require.NotEmpty(t, got.Detail)
			got.Detail = ""
			require.Equal(t, want, got)
			require.Empty(t, p.User(fleet.ID, "u"), "a failed write must write nothing")
		})
	}
}

func TestUpdateUser_FlakyIsCountedPerOperation(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	for range 2 {
		user := tsp.UserUpdate{OperationID: uuid.New(), SourceID: "u", Changes: designation("simulate:flaky:3")}
		for range 3 {
			_, err := p.UpdateUser(t.Context(), fleet, user)
			require.Equal(t, operation.ErrorTSP, tsptest.Failure(t, err).Type)
		}
		for range 2 {
			_, err := p.UpdateUser(t.Context(), fleet, user)
			require.NoError(t, err)
		}
	}
}

func TestUpdateUser_HoldsAndClearsEveryField(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	for _, spec := range operation.UserFields {
		rule := p.Describe().Users.Rule(spec.Name)
		require.True(t, rule.Writable() && rule.Clearable(), spec.Name)
		other := tsp.Connection{ID: uuid.New()}
		write := func(v operation.Value) {
			result, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: "u", Changes: operation.Changes{spec.Name: v}})
			require.NoError(t, err)
			require.Equal(t, 200, result.StatusCode)
		}
		write(operation.Text("value"))
		require.Equal(t, operation.Changes{spec.Name: operation.Text("value")}, p.User(fleet.ID, "u"))
		require.Empty(t, p.User(other.ID, "u"))
		write(operation.Null())
		require.Empty(t, p.User(fleet.ID, "u"))
	}
}

func TestUpdateUser_AbsentFieldsStay(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	for _, c := range []operation.Changes{
		{operation.FieldNotes: operation.Text("a")},
		{operation.FieldIsActive: operation.Flag(false)},
	} {
		_, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: "u", Changes: c})
		require.NoError(t, err)
	}
	require.Equal(t, operation.Changes{
		operation.FieldNotes: operation.Text("a"), operation.FieldIsActive: operation.Flag(false),
	}, p.User(fleet.ID, "u"))
}

func TestUpdateUser_ForgetsTheOldestUser(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{MaxBytes: 64 << 10})
	big := operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("n", 10<<10))}
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			_, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: strconv.Itoa(i), Changes: big})
			if err != nil {
				t.Errorf("user %d: %v", i, err)
			}
		})
	}
	group.Wait()
	for _, id := range []string{"old", "new"} {
		_, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: id, Changes: big})
		require.NoError(t, err)
	}
	held := 0
	for i := range 100 {
		if p.User(fleet.ID, strconv.Itoa(i)) != nil {
			held++
		}
	}
	require.Equal(t, 4, held)
	require.NotNil(t, p.User(fleet.ID, "old"))
	require.NotNil(t, p.User(fleet.ID, "new"))
}

func TestUpdateUser_LatencyEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{0, time.Hour} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := simulator.New(simulator.Config{Latency: latency})
		_, err := p.UpdateUser(ctx, fleet, tsp.UserUpdate{SourceID: "u", Changes: designation("driver")})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorNetwork, f.Type)
		require.ErrorIs(t, err, context.Canceled)
	}
}
