package clientproto

import (
	"bytes"

	"weir/security/schema"
)

// NextLine takes the first command off a frame. Lines are separated by '\n';
// blank ones are passed over. A nil line says that there is none left: a frame
// whose first NextLine is nil is empty, which is CloseBadRequest. Both results
// alias frame.
func NextLine(frame []byte) (line, rest []byte) {
	for len(frame) > 0 {
		end := bytes.IndexByte(frame, '\n')
		if end < 0 {
			line, frame = frame, nil
		} else {
			line, frame = frame[:end], frame[end+1:]
		}
		if !blank(line) {
			return line, frame
		}
	}
	return nil, nil
}

// Parser reads commands. The zero value reads without limits on depth and
// members; set Limits first. Not for concurrent use: one per loop or worker.
type Parser struct {
	// Limits hold for a payload. The two objects around it (the command and
	// its request) are not counted in Depth. Set before the first Parse.
	Limits schema.Limits

	validator schema.Validator
	scratch   []byte       // unescaped strings and compacted payloads of the last line
	subs      []SubRecover // behind ConnectRequest.Subs
}

// Parse reads one line into cmd, which is overwritten. On a violation with an
// Error cmd.ID is the id to answer; nothing else of cmd may then be used.
func (p *Parser) Parse(line []byte, cmd *Command) *Violation {
	*cmd = Command{}
	return violationSyntax
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

var violationSyntax = &Violation{Close: CloseBadRequest, Label: "syntax"}
