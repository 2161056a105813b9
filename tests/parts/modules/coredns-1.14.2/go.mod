module klusterkit.dev/parts/coredns-1.14.2

go 1.26

require github.com/coredns/coredns v1.14.2

tool github.com/coredns/coredns
