package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"writeback/pkg/tsp/all"
)

// URLVariable is the variable of a provider's base URL: WRITEBACK_SAMSARA_URL for
// "samsara".
func URLVariable(provider string) string { return prefix + strings.ToUpper(provider) + "_URL" }

// urlVariables are those of the providers that have an address, in a program that
// calls providers. Each has the rules of any other URL.
func urlVariables(settings reflect.Value) []variable {
	field := settings.FieldByName("BaseURLs")
	if !field.IsValid() {
		return nil
	}
	set, _ := field.Interface().(map[string]string)
	var out []variable
	for _, name := range slices.Sorted(maps.Keys(all.Hosts())) {
		out = append(out, variable{
			name: URLVariable(name), rules: []string{"http"}, production: prodHTTPS, value: reflect.ValueOf(set[name]),
			provider: true, help: "base URL of " + name + "; empty is its public API, or its place in the sandbox",
		})
	}
	return out
}

// setURLs fills the base URLs of a program that calls providers.
func setURLs(settings reflect.Value, given map[string]string) {
	field := settings.FieldByName("BaseURLs")
	if !field.IsValid() {
		return
	}
	urls := make(map[string]string)
	for name := range all.Hosts() {
		if value := given[URLVariable(name)]; value != "" {
			urls[name] = value
		}
	}
	field.Set(reflect.ValueOf(urls))
}
