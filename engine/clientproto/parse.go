package clientproto

import (
	"bytes"
	"math"

	"weir/security/schema"
)

const (
	maxID = math.MaxUint32

	// envelopeDepth is what stands around a payload: the command and its request.
	envelopeDepth = 2
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

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// Parser reads commands. The zero value reads without limits on depth and
// members: set Limits first. Not for concurrent use: one per loop or worker.
type Parser struct {
	// Limits hold for a payload. The two objects around it (the command and
	// its request) are not counted in Depth. Set before the first Parse.
	Limits schema.Limits

	validator schema.Validator
	scratch   []byte       // unescaped strings and compacted payloads, together no longer than the line
	subs      []SubRecover // behind ConnectRequest.Subs
	wrong     bool         // a field of the line has a value of the wrong kind
}

// Parse reads one line into cmd, which is overwritten. On a violation with an
// Error, cmd.ID is the id to answer and nothing else of cmd may be used.
//
// Fields that the protocol does not know are ignored, a field that is null is
// absent. What is not a JSON text closes the connection; what is one but not a
// command for us is answered where its id is known, so that a payload nested
// too deeply costs its publisher the command and not the connection.
func (p *Parser) Parse(line []byte, cmd *Command) *Violation {
	*cmd = Command{}
	p.scratch, p.subs, p.wrong = p.scratch[:0], p.subs[:0], false
	limits := p.Limits
	if limits.Depth > 0 {
		limits.Depth += envelopeDepth
	}
	if fault := p.validator.Check(line, limits); fault != nil {
		refuse, command := refusalOf(fault)
		if command {
			cmd.ID = idOf(line)
		}
		return refuse.to(cmd.ID)
	}
	return p.command(&reader{text: line}, cmd)
}

// command reads the outer object.
func (p *Parser) command(r *reader, cmd *Command) *Violation {
	if !r.enter() {
		return refuseShape.to(0)
	}
	members, methods, idWrong := 0, 0, false
	for {
		raw, ok := r.member()
		if !ok {
			break
		}
		members++
		name := p.plain(raw)
		if string(name) == "id" {
			id, ok := p.digits(r, maxID)
			cmd.ID, idWrong = uint32(id), !ok
			continue
		}
		method := methodOf(name)
		switch {
		case method == 0:
			r.value()
		case methods == 0 && r.enter():
			methods, cmd.Method = 1, method
			p.request(r, cmd)
		case !p.null(r):
			methods, cmd.Method = methods+1, method
		}
	}
	switch {
	case idWrong:
		cmd.ID = 0
		return refuseID.to(0)
	case members == 0:
		cmd.Method = Pong
		return nil
	case methods == 0:
		return refuseNoMethod.to(cmd.ID)
	case methods > 1:
		return refuseMethods.to(cmd.ID)
	case cmd.ID == 0 && cmd.Method != Send:
		return refuseID.to(0)
	case p.wrong:
		return refuseField.to(cmd.ID)
	}
	return nil
}
