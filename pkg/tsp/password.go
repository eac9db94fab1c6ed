package tsp

import "crypto/rand"

// NewPassword makes the password of a new user, which nobody learns: 24 characters,
// 100 bits of them random, with the classes that password rules usually ask for.
func NewPassword() string { return "aA1-" + rand.Text()[:20] }
