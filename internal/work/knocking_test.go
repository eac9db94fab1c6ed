package work

// Knocking is how many messages of w wait for a slot.
func Knocking(w *Worker) int { return int(w.knocking.Load()) }
