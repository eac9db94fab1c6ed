package egress

import "net/netip"

// AddressError says that an address is not one of the public internet.
type AddressError struct {
	Addr netip.Addr
	// Kind is what it is instead, for example "loopback".
	Kind string
}

// Error names the kind only: the address may be one that the caller must not
// learn.
func (e *AddressError) Error() string { return "egress: " + e.Kind + " addresses are not called" }

// Refused says that nothing was sent.
func (e *AddressError) Refused() bool { return true }

// special lists what is not the public internet. Order matters where ranges lie
// in each other: the first that holds the address names it.
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},

	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("64:ff9b::/96"), "translated"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated"},
	{netip.MustParsePrefix("2001::/32"), "translated"}, // Teredo
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2002::/16"), "translated"}, // 6to4
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// global is the only part of IPv6 that is given out for the public internet.
var global = netip.MustParsePrefix("2000::/3")

// CheckAddr gives an *AddressError unless the address is one of the public
// internet. An IPv4 address in IPv6 clothes counts as the IPv4 address.
func CheckAddr(addr netip.Addr) error {
	bare := addr.Unmap().WithZone("")
	if !bare.IsValid() {
		return &AddressError{Addr: addr, Kind: "unknown"}
	}
	for _, s := range special {
		if s.prefix.Contains(bare) {
			return &AddressError{Addr: addr, Kind: s.kind}
		}
	}
	if bare.Is6() && !global.Contains(bare) {
		return &AddressError{Addr: addr, Kind: "reserved"}
	}
	return nil
}
