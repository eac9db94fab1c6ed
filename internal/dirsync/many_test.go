//go:build !race

package dirsync

// many is as many users as a large fleet has.
const many = 10_000
