package webhook

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// published is docs/webhooks.md in one line.
func published(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	return strings.Join(strings.Fields(string(page)), " ")
}

// thousands writes a number as the page does.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// TestPublished_Numbers: partners go by them.
func TestPublished_Numbers(t *testing.T) {
	t.Parallel()
	page := published(t)
	percent := func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
	for _, sentence := range []string{
		fmt.Sprintf("%d sends at a time", DefaultInFlight),
		fmt.Sprintf("has left %d sends in a row without an answer", SilentSends),
		fmt.Sprintf("%s deliveries may wait for one endpoint, each for %.0f hours", thousands(MostWaiting), QueueFor.Hours()),
		fmt.Sprintf("When about %s wait for all endpoints of a partner, so does what is told to one for which %s wait",
			thousands(MostOfPartner), thousands(fewWaiting)),
		fmt.Sprintf("no answer in %.0f s", SendTimeout.Seconds()),
		fmt.Sprintf("with `success` what had arrived; %s at a time", thousands(MostReplayed)),
		fmt.Sprintf("deliveries in the last %.0f hours", HealthWindow.Hours()),
		fmt.Sprintf("| %d or more | the moving average of success is below %s (each delivery weighs %s, start at 100 %%) |",
			manyDeliveries, percent(averageLeast), percent(HealthWeight)),
		fmt.Sprintf("| %d to %d | fewer than %s arrived |", someDeliveries, manyDeliveries-1, percent(rateLeast)),
		fmt.Sprintf("| fewer | %d in a row failed |", failuresInARow),
		fmt.Sprintf("%d sends in a row, as many as %d events have", silencesInARow, failuresInARow),
		fmt.Sprintf("Nothing is judged in the first %.0f minutes after", GraceAfterChange.Minutes()),
		fmt.Sprintf("`success_rate` is null for fewer than %d events", rateLeastMessages),
		"one at a time, ten seconds after the one before",
		"holds the whole endpoint back for that long, one hour at most",
	} {
		require.Contains(t, page, sentence)
	}
	require.Equal(t, 10*time.Second, SilentPause)
	require.Equal(t, time.Hour, longestRetryAfter)
}

func TestPublished_Schedules(t *testing.T) {
	t.Parallel()
	page := published(t)
	for s, row := range map[Schedule]string{Short: "| `short` (default) | ", Long: "| `long` | "} {
		_, rest, found := strings.Cut(page, row)
		require.True(t, found, s)
		sends, rest, _ := strings.Cut(rest, " | ")
		waits, _, _ := strings.Cut(rest, " |")
		require.Equal(t, fmt.Sprint(len(Delays(s))+1), sends, s)
		var want []time.Duration
		for wait := range strings.SplitSeq(waits, ", ") {
			d, err := time.ParseDuration(strings.NewReplacer(" ", "", "min", "m").Replace(wait))
			require.NoError(t, err)
			want = append(want, d)
		}
		require.Equal(t, want, Delays(s), s)
	}
	require.Contains(t, page, "each a fifth longer or shorter at random")
	require.InDelta(t, 0.2, jitter, 0)
}
