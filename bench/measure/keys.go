package measure

// Keys are the figures that are followed from one version to the next; ratios are
// Writeback ÷ asynq in the same round, as the median of the rounds. What was not
// measured is absent.
func (r *Result) Keys() map[string]float64 {
	out := map[string]float64{}
	put := func(name string, v float64) {
		if v > 0 {
			out[name] = v
		}
	}
	for _, f := range figures {
		put(f.Key, ratio(r.Rounds, f.Of).Median)
	}
	put("durable_ratio", ratio(r.Durable, endRate).Median)
	put("slow_provider_ratio", ratio(r.Slow, endRate).Median)
	if r.Memory != nil {
		put("redis_bytes_per_operation", r.Memory.Bytes)
	}
	if r.Retained != nil {
		put("redis_bytes_per_operation", r.Retained.Bytes)
		put("retained_operations", float64(r.Retained.Operations))
		put("retained_get_p99_ms", r.Retained.GetP99)
		put("retained_list_p99_ms", r.Retained.ListP99)
	}
	if r.Batch != nil && r.Batch.Missing == "" {
		put("batch_ratio", r.Batch.UpdateRate/r.Batch.SingleRate)
	}
	if one := r.Workers[1]; one > 0 {
		put("workers_2_ratio", r.Workers[2]/one)
		put("workers_4_ratio", r.Workers[4]/one)
	}
	worst := 0.0
	for _, f := range r.Fairness {
		worst = max(worst, f.Factor)
	}
	put("quiet_p99_factor", worst)
	if r.Waiting != nil {
		put("waiting_growth", r.Waiting.Growth)
	}
	return out
}

func endRate(c *Core) float64 { return c.EndRate }
