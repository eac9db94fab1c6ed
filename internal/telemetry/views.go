package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
)

// callBounds are the bounds of the histogram of calls to providers, in seconds.
var callBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// views keep the labels of what libraries measure closed: hosts, ports and texts of
// errors are as many as there are connections.
func views() sdkmetric.Option {
	return sdkmetric.WithView(
		sdkmetric.NewView(sdkmetric.Instrument{Name: "http.client.request.duration"}, sdkmetric.Stream{
			AttributeFilter: attribute.NewAllowKeysFilter("provider", "http.request.method", "http.response.status_code"),
			Aggregation:     sdkmetric.AggregationExplicitBucketHistogram{Boundaries: callBounds},
			// What a filter takes from a series would come back with its exemplars.
			ExemplarReservoirProviderSelector: func(sdkmetric.Aggregation) exemplar.ReservoirProvider { return bareReservoir },
		}),
		sdkmetric.NewView(sdkmetric.Instrument{Name: "http.client.request.body.size"}, sdkmetric.Stream{
			Aggregation: sdkmetric.AggregationDrop{},
		}),
	)
}

// bareReservoir keeps exemplars with their trace and nothing else.
func bareReservoir(attrs attribute.Set) exemplar.Reservoir {
	return bare{exemplar.HistogramReservoirProvider(callBounds)(attrs)}
}

type bare struct{ exemplar.Reservoir }

// Offer drops the attributes.
func (b bare) Offer(ctx context.Context, at time.Time, value exemplar.Value, _ []attribute.KeyValue) {
	b.Reservoir.Offer(ctx, at, value, nil)
}
