package webfleet

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is not read is not kept: a row of short keys would take eight times its length.
func TestDriver_KeepsWhatIsRead(t *testing.T) {
	t.Parallel()
	var d driver
	require.NoError(t, json.Unmarshal([]byte(`{"driveruid":9007199254740993,"a":1,"b":"x","email":null,"name1":["x"],"country":"DE"}`), &d))
	require.Equal(t, driver{"driveruid": "9007199254740993", "email": "", "name1": "", "country": "DE"}, d)
	for _, none := range []string{`7`, `"x"`, `[]`} {
		require.Error(t, json.Unmarshal([]byte(none), &d))
	}
	require.NoError(t, json.Unmarshal([]byte(`null`), &d))
	require.Empty(t, d.text("driveruid"))
}
