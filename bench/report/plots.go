package report

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"writeback/bench/measure"
)

const (
	width  = 16 * vg.Centimeter
	height = 9 * vg.Centimeter
)

var (
	blue   = color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}
	orange = color.RGBA{R: 0xd9, G: 0x6c, B: 0x06, A: 0xff}
)

// series is one line of a plot.
type series struct {
	name   string
	color  color.Color
	points plotter.XYs
}

// figure is one plot.
type figure struct {
	title, x, y string
	logX, logY  bool
	lines       []series
}

// Plots writes the plots that there are figures for.
func (r Run) Plots(dir string) error {
	plots := map[string]figure{
		"latency.svg": {
			title: "Request due to provider called, 500 requests a second", x: "percentile", y: "ms", logX: true, logY: true,
			lines: r.lines(func(c *measure.Core) plotter.XYs { return percentiles(c.Calls) }),
		},
		"throughput.svg": {
			title: "Operations ended over time, one burst", x: "seconds since the first request", y: "operations a second",
			lines: r.lines(func(c *measure.Core) plotter.XYs { return rates(c.Ends) }),
		},
		"memory.svg": {
			title: "Memory of Redis over ended operations", x: "thousand operations", y: "MiB",
			lines: []series{{name: "writeback", color: blue, points: r.memory()}},
		},
	}
	for name, f := range plots {
		if err := f.save(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("report: %s: %w", name, err)
		}
	}
	return nil
}

// lines gives a line for each system, of the last round.
func (r Run) lines(points func(*measure.Core) plotter.XYs) []series {
	if len(r.Result.Rounds) == 0 {
		return nil
	}
	last := r.Result.Rounds[len(r.Result.Rounds)-1]
	out := []series{}
	for _, s := range []series{{name: "writeback", color: blue}, {name: "asynq", color: orange}} {
		if s.points = points(last[s.name]); len(s.points) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// percentiles has the part of requests that take longer as x, so that the tail can
// be seen.
func percentiles(sorted []time.Duration) plotter.XYs {
	var out plotter.XYs
	n := float64(len(sorted))
	for q := 0.0; q < 4; q += 0.02 {
		longer := math.Pow(10, -q) // the part of requests that take longer
		i := int(math.Ceil(n*(1-longer))) - 1
		if n*longer < 1 {
			break
		}
		out = append(out, plotter.XY{X: 1 / longer, Y: max(float64(sorted[max(i, 0)].Microseconds())/1000, 0.001)})
	}
	return out
}

// rates counts ends in steps.
func rates(ends []time.Duration) plotter.XYs {
	const step = 250 * time.Millisecond
	if len(ends) == 0 {
		return nil
	}
	counts := make([]float64, int(slices.Max(ends)/step)+2)
	for _, end := range ends {
		counts[int(max(end, 0)/step)]++
	}
	out := make(plotter.XYs, len(counts))
	for i, n := range counts {
		out[i] = plotter.XY{X: (float64(i) + 0.5) * step.Seconds(), Y: n / step.Seconds()}
	}
	return out
}

func (r Run) memory() plotter.XYs {
	var curve []measure.Point
	switch {
	case r.Result.Retained != nil:
		curve = r.Result.Retained.Curve
	case r.Result.Memory != nil:
		curve = r.Result.Memory.Points
	}
	out := make(plotter.XYs, len(curve))
	for i, p := range curve {
		out[i] = plotter.XY{X: p.X / 1000, Y: p.Y / (1 << 20)}
	}
	return out
}

func (f figure) save(path string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.x, f.y
	p.BackgroundColor = color.White
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	drawn := false
	for _, s := range f.lines {
		if len(s.points) < 2 {
			continue
		}
		line, err := plotter.NewLine(s.points)
		if err != nil {
			return err
		}
		line.Color, line.Width = s.color, vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(s.name, line)
		drawn = true
	}
	if !drawn {
		return nil
	}
	if f.logX {
		p.X.Scale = plot.LogScale{}
		p.X.Tick.Marker = plot.ConstantTicks{
			{Value: 1, Label: "0"}, {Value: 2, Label: "50"}, {Value: 10, Label: "90"},
			{Value: 100, Label: "99"}, {Value: 1000, Label: "99.9"}, {Value: 10_000, Label: "99.99"},
		}
	}
	if f.logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	return p.Save(width, height, path)
}
