package directory

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// tspSpace is the namespace of the provider ids. It never changes, or partners'
// stored ids would point nowhere.
var tspSpace = uuid.MustParse("6f0c7c1e-5d0b-5c8e-9a53-0c1d4f2b7e10")

// TSP is one telematics provider as the contract lists it.
type TSP struct {
	ID uuid.UUID
	// Slug is the source name with dashes for underscores.
	Slug       string
	SourceName string
}

// TSPID is the stable id of the provider with the source name.
func TSPID(sourceName string) uuid.UUID { return uuid.NewSHA1(tspSpace, []byte(sourceName)) }

// TSPSlug is the slug of the provider with the source name.
func TSPSlug(sourceName string) string { return strings.ReplaceAll(sourceName, "_", "-") }

// TSPs lists the providers, by id ascending: the contract's and those of
// Config.Providers.
func (d *Directory) TSPs() []TSP { return slices.Clone(d.tsps) }

func listTSPs(more []string) []TSP {
	names := slices.Concat(operation.SourceNames, more)
	slices.Sort(names)
	names = slices.Compact(names)
	out := make([]TSP, len(names))
	for i, name := range names {
		out[i] = TSP{ID: TSPID(name), Slug: TSPSlug(name), SourceName: name}
	}
	slices.SortFunc(out, func(a, b TSP) int { return compareIDs(a.ID, b.ID) })
	return out
}
