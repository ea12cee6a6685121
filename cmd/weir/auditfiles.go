package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"

	"weir/security/anomaly"
	"weir/security/audit"
)

// auditVerifyCommand checks the chain of a log.
type auditVerifyCommand struct {
	Files        []string `arg:"" name:"file" help:"Files of one log, in any order, compressed or not."`
	AuditKeyFile path     `name:"audit-key-file" placeholder:"FILE" help:"Key of the checkpoints (default the one beside the log)."`
}

// auditQueryCommand searches a log.
type auditQueryCommand struct {
	Files      []string `arg:"" name:"file" help:"Files of the log, in any order, compressed or not; - is standard input."`
	From       moment   `name:"since" placeholder:"TIME" help:"From this time on, as in 2026-01-31T12:00:00Z, or so long ago, as in 2h."`
	To         moment   `name:"until" placeholder:"TIME" help:"Before this time."`
	Events     list     `name:"event" placeholder:"EVENT,…" help:"These events, by name or number."`
	User       text     `name:"user" placeholder:"USER" help:"This user."`
	Address    networks `name:"address" placeholder:"CIDR" help:"This address or network."`
	Connection text     `name:"connection" placeholder:"ID" help:"This connection."`
	Reason     text     `name:"reason" placeholder:"REASON" help:"This reason."`
	Channel    text     `name:"channel" placeholder:"CHANNEL" help:"This channel."`
	Anomalies  bool     `name:"anomalies" help:"Print what the detectors find in the whole of the files, instead of the records; the other options but --anomaly-scale are left out."`
	Scale      factor   `name:"anomaly-scale" default:"1" placeholder:"FACTOR" help:"That of the server (default ${default})."`
	By         text     `name:"count-by" placeholder:"FIELD" help:"Print how many events there are by event, reason, user, address, prefix, origin, path, channel, hour or minute, instead of the records."`
}

// moment is a point in time, or how long ago it was.
type moment struct {
	at  time.Time
	ago time.Duration
}

func (m *moment) UnmarshalText(b []byte) (err error) {
	if m.ago, err = time.ParseDuration(string(b)); err == nil && m.ago >= 0 {
		return nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02"} {
		if m.at, err = time.Parse(form, string(b)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is no time; write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, as in 2h", b)
}

func (m moment) time(now time.Time) time.Time {
	if m.ago > 0 {
		return now.Add(-m.ago)
	}
	return m.at
}

// ended is what the name of a file that was ended has behind that of the log.
var ended = regexp.MustCompile(`\.\d{8}T\d{6}Z-\d{12}(\.gz)?$`)

func auditVerify(p *process, c *auditVerifyCommand) error {
	base := ended.ReplaceAllString(c.Files[0], "")
	o := audit.VerifyOptions{}
	keyFile := cmp.Or(string(c.AuditKeyFile), base+".key")
	key, err := audit.LoadKey(keyFile, false)
	switch {
	case err == nil:
		o.Key = key
	case c.AuditKeyFile != "" || !errors.Is(err, fs.ErrNotExist):
		return mistake("--audit-key-file: %w", err)
	}
	if _, err := os.Stat(base + ".seal"); err == nil && given(c.Files, base) {
		o.Seal = base + ".seal"
	}
	r, err := audit.Verify(c.Files, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "good: records %d to %d of %d files, %d checkpoints\n", r.First, r.Last, r.Files, r.Checkpoints)
	for _, note := range []struct {
		holds bool
		text  string
	}{
		{o.Key == nil, "the checkpoints were not checked, for want of " + keyFile + ": who changed a file may have made all hashes anew"},
		{!r.Sealed, "whether the end was cut off is not known, for want of the newest file or its seal (" + base + ".seal)"},
		{r.First > 1, "files before the first record were not given"},
		{r.Unsealed > 0, fmt.Sprintf("%d records at the end follow no checkpoint yet", r.Unsealed)},
		{r.Cut, "the last line is not whole: it is being written, or the server was killed"},
	} {
		if note.holds {
			fmt.Fprintf(p.stdout, "note: %s\n", note.text)
		}
	}
	return nil
}

// given tells whether the file that is written to is among files.
func given(files []string, base string) bool {
	for _, f := range files {
		if f == base {
			return true
		}
	}
	return false
}

// query is what the options ask for.
func (c *auditQueryCommand) query(now time.Time) (q audit.Query, err error) {
	q = audit.Query{From: c.From.time(now), To: c.To.time(now), User: string(c.User), Reason: string(c.Reason), Channel: string(c.Channel)}
	for _, name := range c.Events {
		e, ok := audit.EventNamed(name)
		if !ok {
			return q, mistake("--event: %q is no event; docs/audit.md lists them", name)
		}
		q.Events = append(q.Events, e)
	}
	if len(c.Address) > 1 {
		return q, mistake("--address: one address or network at a time")
	}
	for _, n := range c.Address {
		q.Within = n
	}
	if c.Connection != "" {
		if q.Conn, err = audit.ParseConnID(string(c.Connection)); err != nil {
			return q, mistake("--connection: %q is no connection; write it as it stands in a record, as in 5f3a9c1e-2b00000007", c.Connection)
		}
	}
	return q, nil
}

func auditQuery(p *process, c *auditQueryCommand) error {
	if c.Anomalies {
		return auditAnomalies(p, c)
	}
	q, err := c.query(time.Now())
	if err != nil {
		return err
	}
	var tally *audit.Tally
	if c.By != "" {
		by, err := audit.ParseGrouping(string(c.By))
		if err != nil {
			return mistake("--count-by: %w", err)
		}
		tally = audit.NewTally(by)
	}
	unread, err := eachEntry(c.Files, func(text []byte, r *audit.Record) error {
		switch {
		case !q.Matches(r):
		case tally != nil:
			tally.Add(r)
		default:
			_, err := fmt.Fprintf(p.stdout, "%s\n", printable(text))
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if tally != nil {
		if err := printTally(p.stdout, tally); err != nil {
			return err
		}
	}
	return passedOver(unread)
}

func passedOver(lines int) error {
	if lines == 0 {
		return nil
	}
	return fmt.Errorf("%d lines are no records, and were passed over", lines)
}

// auditAnomalies runs the detectors over a log, as they ran beside the server.
func auditAnomalies(p *process, c *auditQueryCommand) error {
	if c.Scale == 0 {
		return mistake("--anomaly-scale: 0 switches every detector off")
	}
	var failed error
	w := anomaly.New(anomaly.Config{Scale: float64(c.Scale), Alert: func(a *anomaly.Alert) {
		from := "all"
		if a.Prefix.IsValid() {
			from = a.Prefix.String()
		}
		if _, err := fmt.Fprintf(p.stdout, "%s\t%s\t%s\t%d in %v, the threshold is %d\n", a.Time.UTC().Format("2006-01-02T15:04:05.000Z"), a.Detector, from,
			a.Count, anomaly.Window, a.Threshold); err != nil {
			failed = err
		}
	}})
	unread, err := eachEntry(c.Files, func(_ []byte, r *audit.Record) error {
		w.Observe(r)
		return failed
	})
	if err != nil {
		return err
	}
	return passedOver(unread)
}

// inOrder sorts files by the time of their first record: not by its number, as audit.Verify does, for they may be of several
// nodes, and what went to standard error or a collector has none.
func inOrder(files []string) ([]string, error) {
	begins := make(map[string]time.Time, len(files))
	for _, name := range files {
		if name == "-" {
			continue // first
		}
		r, err := audit.Open(name)
		if err != nil {
			return nil, err
		}
		for e, err := range audit.Entries(r) {
			if err == nil {
				begins[name] = e.Time
				break
			}
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b string) int { return begins[a].Compare(begins[b]) })
	return files, nil
}

// eachEntry reads files from the oldest on; unread is how many lines are no records.
func eachEntry(files []string, do func(text []byte, r *audit.Record) error) (unread int, err error) {
	if files, err = inOrder(files); err != nil {
		return 0, err
	}
	for _, name := range files {
		n, err := fileEntries(name, do)
		if err != nil {
			return unread, err
		}
		unread += n
	}
	return unread, nil
}

func fileEntries(name string, do func(text []byte, r *audit.Record) error) (unread int, err error) {
	r := io.NopCloser(os.Stdin)
	if name != "-" {
		if r, err = audit.Open(name); err != nil {
			return 0, err
		}
	}
	defer r.Close()
	for line, err := range audit.Lines(r) {
		if err != nil {
			return unread, fmt.Errorf("%s: %w", name, err)
		}
		e, err := audit.ParseLine(line.Text)
		if err != nil {
			unread++
		} else if err := do(line.Text, &e.Record); err != nil {
			return unread, err
		}
	}
	return unread, nil
}

func printTally(out io.Writer, t *audit.Tally) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range t.Counts() {
		fmt.Fprintf(w, "%d\t%s\n", c.N, cmp.Or(oneLine(c.Group), "-"))
	}
	fmt.Fprintf(w, "%d\tin all\n", t.Total)
	return w.Flush()
}
