package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"weir/loadtest/tally"
)

const (
	// format is the version of the JSON document. It grows when a field changes its
	// meaning or goes; a new field leaves it.
	format = 1

	// maxDocumentBytes is what ReadJSON takes: an hour in seconds has about 20 MiB.
	maxDocumentBytes = 256 << 20
)

// document is the JSON: the fields of tally.Run and "format" before them.
// Durations are nanoseconds, times RFC 3339, histograms strings (tally.Histogram).
type document struct {
	Format int `json:"format"`
	*tally.Run
}

// WriteJSON writes r as one JSON document that ReadJSON reads. What is not a
// finite number is left out of its figures.
func WriteJSON(w io.Writer, r *tally.Run) error {
	whole := *r
	whole.Figures = nil
	for _, f := range r.Figures {
		if finite(f.Value) {
			whole.Figures = append(whole.Figures, f)
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document{format, &whole})
}

// ReadJSON reads what WriteJSON wrote, up to 256 MiB.
func ReadJSON(r io.Reader) (*tally.Run, error) {
	limited := &io.LimitedReader{R: r, N: maxDocumentBytes + 1}
	d := document{Run: new(tally.Run)}
	switch err := json.NewDecoder(limited).Decode(&d); {
	case limited.N == 0:
		return nil, fmt.Errorf("a report of more than %d MiB", maxDocumentBytes>>20)
	case err != nil:
		return nil, fmt.Errorf("not a report of weir-load: %w", err)
	case d.Format == 0:
		return nil, errors.New(`not a report of weir-load: no "format"`)
	case d.Format != format:
		return nil, fmt.Errorf("a report of format %d; this weir-load reads %d", d.Format, format)
	}
	return d.Run, nil
}
