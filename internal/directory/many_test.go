//go:build !race

package directory

// manyUsers is what a directory must be able to hold with ease.
const manyUsers = 100_000
