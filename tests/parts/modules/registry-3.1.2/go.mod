module klusterkit.dev/parts/registry-3.1.2

go 1.26

require github.com/distribution/distribution/v3 v3.1.2

tool github.com/distribution/distribution/v3/cmd/registry
