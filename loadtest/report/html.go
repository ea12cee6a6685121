package report

import (
	"html/template"
	"io"

	"weir/loadtest/tally"
)

// WriteHTML writes one page for one run, or for several side by side.
func WriteHTML(w io.Writer, runs ...*tally.Run) error {
	page, err := template.New("report").Parse(`<!doctype html><meta charset="utf-8"><title>weir-load</title>
{{range .}}<h1>{{.Scenario}}: {{.Target}}</h1>{{end}}`)
	if err != nil {
		return err
	}
	return page.Execute(w, runs)
}
