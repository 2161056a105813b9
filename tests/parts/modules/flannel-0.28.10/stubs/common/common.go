// Package common stands in for the cloud SDK of the same path: just the names
// that flannel's tencent-vpc backend compiles against. That backend is linked
// into every flanneld and never used by the hosts of these tests.
package common

// StringPtr returns the address of a copy of v.
func StringPtr(v string) *string { return &v }

// BoolPtr returns the address of a copy of v.
func BoolPtr(v bool) *bool { return &v }

// StringPtrs returns the addresses of copies of all vals.
func StringPtrs(vals []string) []*string {
	out := make([]*string, len(vals))
	for i := range vals {
		out[i] = StringPtr(vals[i])
	}
	return out
}
