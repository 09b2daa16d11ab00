// Reads a dashboard as strictly as Grafana's types allow: no unknown field, none missing, none of another kind, in
// panels and queries too.
//
//	go run . DASHBOARD.json
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The SDK returns an empty list of errors where there are none, which is not nil.
func stopAt(err error) {
	if err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(os.Args[1])
	stopAt(err)
	var board dashboard.Dashboard
	stopAt(board.UnmarshalJSONStrict(text))
	stopAt(board.Validate())
}
