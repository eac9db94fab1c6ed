//go:build race

package dirsync

// many is fewer where each access is watched.
const many = 2_000
