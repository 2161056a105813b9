module klusterkit.dev/parts/cni-plugins-1.9.1

go 1.26

require github.com/containernetworking/plugins v1.9.1
