//go:build race

package directory

// manyUsers is fewer where each access is watched.
const manyUsers = 4_000
